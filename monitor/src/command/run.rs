//! `run`: the daemon, assembled: config -> lock -> kernel -> pipeline -> HTTP, and the way down again.

mod confinement;

use std::net::TcpListener;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use crate::cli::help::Help;
use crate::cli::{LogFormat, LogLevel, RunArgs};
use crate::config::Config;
use crate::enrich::Enricher;
use crate::event_log::{EventLog, Sink};
use crate::http;
use crate::kernel::attach::{Attached, attach};
use crate::kernel::privileges::{self, Lacking};
use crate::kernel::walker::Walker;
#[cfg(feature = "kubernetes")]
use crate::kubernetes::Watcher;
use crate::lock::InstanceLock;
#[cfg(feature = "otlp")]
use crate::otlp::Exporter;
use crate::owners::Owners;
use crate::pipeline::{Pipeline, Settings};
use crate::push;
use crate::snapshot::{SignalRow, SignalStatus};
use crate::systemd;
use crate::terminal::Medium;

/// What `run --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("sudo reset-monitor run", "page, API and metrics: 127.0.0.1:9777"),
        ("sudo reset-monitor run --listen 0.0.0.0:9777", "for Prometheus elsewhere"),
        ("sudo reset-monitor run --config /etc/reset-monitor.toml", ""),
        ("sudo reset-monitor run --alertmanager http://alertmanager:9093", ""),
        ("sudo reset-monitor run --event-log journald", "every reset in the journal"),
    ],
    notes: "A flag wins over the environment, the environment over the file, the file over the default. Sections [alerts], [push], [event_log] and \
            [metrics] of the file are in the README. SIGTERM and SIGINT end the daemon; counts in the kernel end with it.",
};

/// Runs until a signal asks to end.
pub fn run(args: &RunArgs) -> anyhow::Result<()> {
    let config = Config::resolve(args)?;
    start_log(args.log_level, args.log_format);
    let prepared = crate::kernel::attach::prepare(&config.sizes, args.backend)?;
    let _lock = InstanceLock::take(&config.lock_file)?;
    let listener = bind(&config)?;
    let sink = config.event_log.as_ref().map(EventLog::open).transpose()?;
    let attached = attach(prepared, &config.sizes)?;
    let walker =
        Walker::start(config.enter_namespaces).context("start the thread that walks over sockets")?;
    log_signals(&attached, walker.signal());
    privileges::drop_all_but_needed(&attached.loaded.programs);
    if args.confine {
        // Before the runtime, but not before the walker's thread, which is confined with the others.
        confinement::confine(&config, attached.loaded.programs.is_to_attach());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the asynchronous runtime")?;
    let result = runtime.block_on(serve(config, attached, walker, listener, sink));
    // What a stuck reader still holds is not worth waiting for.
    runtime.shutdown_background();
    result
}

fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let listen = config.listen;
    let listener = TcpListener::bind(listen).with_context(|| {
        format!("listen on {listen}: choose another address with --listen, or end the program that uses it")
    })?;
    listener.set_nonblocking(true).with_context(|| format!("listen on {listen}"))?;
    Ok(listener)
}

fn log_signals(attached: &Attached, open_connections: &SignalRow) {
    let signals = attached.loaded.programs.signals();
    let count = |status| signals.iter().chain([open_connections]).filter(|row| row.status == status).count();
    tracing::info!(
        kernel = attached.facts.release,
        works = count(SignalStatus::Works),
        degraded = count(SignalStatus::Degraded),
        missing = count(SignalStatus::Missing),
        "attached; `reset-monitor check` tells what each signal lacks"
    );
    for Lacking { capability, lost, advice } in privileges::lacking() {
        tracing::warn!("{capability} is missing: {lost}; {advice}");
    }
}

async fn serve(
    config: Config,
    attached: Attached,
    walker: Walker,
    listener: TcpListener,
    sink: Option<Sink>,
) -> anyhow::Result<()> {
    let Attached { facts, loaded, listening } = attached;
    #[cfg(feature = "debug-log")]
    let (loaded, debug_lines) = crate::kernel::debug_log::take(loaded)?;
    let settings = Settings {
        limits: config.limits(),
        enricher: Enricher::new(&facts.reset_reasons),
        hz: facts.hz,
        alerts: config.alerts.clone(),
        selection: config.selection.clone(),
    };
    let (pipeline, published) = Pipeline::new(loaded, listening, settings)?;
    let (owners, questions) = Owners::new();
    let (pipeline, published) =
        (pipeline.with_walker(walker).with_owners(owners.clone()), published.with_owners(owners.clone()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let (pushers, accounts): (Vec<_>, Vec<_>) = push::pushers(&config.push, &host).into_iter().unzip();
    let published = published.with_pushed(accounts.into());
    #[cfg(feature = "otlp")]
    let (exporter, exported) = config.otlp.as_ref().map(|otlp| Exporter::new(otlp, &host)).unzip();
    #[cfg(feature = "otlp")]
    let published = published.with_exported(exported);
    #[cfg(feature = "kubernetes")]
    let (watcher, names) = config.kubernetes.map(Watcher::new).unzip();
    #[cfg(feature = "kubernetes")]
    let published = published.with_names(names);
    let (event_log, account) = sink.map(|sink| EventLog::new(sink, published.clone())).unzip();
    let published = published.with_logged(account);
    let (stop, stopping) = watch::channel(false);
    let http_settings = http::Settings {
        allowed_hosts: config.allowed_hosts.clone(),
        kernel: facts.release,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: host,
    };
    let (reports, snapshots) = (published.watch_alerts(), published.watch_snapshots());
    #[cfg(feature = "otlp")]
    let metrics = published.clone();
    let state = http::AppState::new(published, http_settings, stopping.clone());
    let listener = tokio::net::TcpListener::from_std(listener).context("register the listening socket")?;
    let address = listener.local_addr().context("read the listening address")?;
    // Before anyone can know that we are there: a signal that came earlier would end us without the work that an end takes.
    let terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    let interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;
    tracing::info!("listening on http://{address}");
    // From here on connections wait to be accepted.
    systemd::ready(address);

    let mut tasks = Tasks::new();
    #[cfg(feature = "debug-log")]
    let lines_stop = stopping.clone();
    #[cfg(feature = "debug-log")]
    tasks.spawn(async move {
        debug_lines.forward(lines_stop).await?;
        Ok("the reader of debug lines")
    });
    let owners_stop = stopping.clone();
    tasks.spawn(async move {
        crate::kernel::owners::run(questions, owners, owners_stop).await?;
        Ok("the search for owners of sockets")
    });
    for pusher in pushers {
        let work = pusher.run(reports.clone(), stopping.clone());
        spawn(&mut tasks, "the task that tells an Alertmanager", work);
    }
    #[cfg(feature = "otlp")]
    if let Some(exporter) = exporter {
        spawn(&mut tasks, "the task that sends metrics over OTLP", exporter.run(metrics, stopping.clone()));
    }
    #[cfg(feature = "kubernetes")]
    if let Some(watcher) = watcher {
        spawn(&mut tasks, "the task that asks for the cluster's names", watcher.run(stopping.clone()));
    }
    if let Some(event_log) = event_log {
        // Ends when the pipeline has, with what that told last.
        spawn(&mut tasks, "the event log", event_log.run());
    }
    let pipeline_stop = stopping.clone();
    tasks.spawn(async move {
        pipeline.run(pipeline_stop).await?;
        Ok("the event pipeline")
    });
    tasks.spawn(async move {
        http::server::serve(listener, http::router(state), stopping).await;
        Ok("the HTTP server")
    });
    spawn(&mut tasks, "the word to the service manager", systemd::keep_alive(snapshots, stop.subscribe()));
    until_asked(tasks, [terminate, interrupt], stop).await
}

/// What runs beside each other, each with its name for when it ends.
type Tasks = JoinSet<anyhow::Result<&'static str>>;

/// One that cannot fail.
fn spawn(tasks: &mut Tasks, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async move {
        work.await;
        Ok(name)
    });
}

/// Waits for a signal, then ends all tasks. A task that ends before is an error.
async fn until_asked(
    mut tasks: Tasks,
    [mut terminate, mut interrupt]: [Signal; 2],
    stop: watch::Sender<bool>,
) -> anyhow::Result<()> {
    let early = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = tasks.join_next() => ended,
    };
    stop.send_replace(true);
    systemd::ending();
    if let Some(ended) = early {
        let name = ended.context("a task of the daemon panicked")??;
        anyhow::bail!("{name} ended although nobody asked it to");
    }
    tracing::info!("ending");
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task of the daemon panicked")??;
    }
    Ok(())
}

/// Messages go to stderr; stdout is for data.
fn start_log(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
    };
    let colour = Medium::stderr().colour;
    // What libraries say of each try is said once, in our words.
    let filter = EnvFilter::new(format!("{level},kube_client=off,kube_runtime=off"));
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    // Debug lines of the kernel programs are told from the daemon's own by their target; elsewhere it says nothing.
    let log = log.with_target(cfg!(feature = "debug-log"));
    match format {
        LogFormat::Text => log.with_ansi(colour).init(),
        LogFormat::Json => log.json().init(),
    }
}
