//! `reset-monitor probe`: uses connections, leaves them alone, and tells when and how the peer ends them.
//!
//! Talks to the target named and to nobody else: no redirect is followed, no proxy is asked.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use self::connection::Plan;
use self::exchange::Ask;
use self::failure::{NotLearnt, ProbeUsageError};
use self::run::Run;
use self::target::{Scheme, Target};
use self::tls::Trust;
use self::typed::{Header, MOST, Payload, Sweep};
use crate::cli::help::Help;
use crate::terminal::Output;

pub mod connect;
pub mod connection;
pub mod exchange;
pub mod failure;
pub mod hold;
pub mod http;
pub mod lookup;
pub mod outcome;
pub mod progress;
pub mod reader;
pub mod run;
pub mod summary;
pub mod tap;
pub mod target;
pub mod text;
pub mod tls;
pub mod typed;
pub mod view;

/// What `probe --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("reset-monitor probe https://api.example/health", "after how long does it close"),
        ("reset-monitor probe http://10.0.0.5/ --idle 59.9s", "what a request meets then"),
        ("reset-monitor probe http://10.0.0.5/ --sweep 55s..65s --step 0.5s", ""),
        ("reset-monitor probe redis:6379 --send 'PING\\r\\n'", "another protocol"),
        ("reset-monitor probe 10.0.0.5:5432", "connected and never used"),
    ],
    notes: NOTES,
};

const NOTES: &str = "\
A connection is quiet from the last byte on it, in either direction, to the first sign of its end: the peer's FIN, its reset, or in TLS its \
close_notify, or last words right before these. A request goes out after a FIN, too, as a client's does that does not look: what it draws is the race. TCP keep-alive is off; \
it would not make a connection less idle. What --send says may stay unanswered: after 2 s without an answer, or --timeout if that is less, the connection \
is held, and an end without an answer a second or more after it was said is that of a quiet connection.

Exit codes: 0 it was learnt, 1 it was not, or a connection failed, 2 bad usage. After Ctrl-C, which tells what was learnt so far, too.

-o json is described by docs/schema/probe.schema.json.";

/// Connections, when nothing else is said.
const CONNECTIONS: u32 = 3;
/// As long as most idle timeouts.
const MAX_WAIT: Duration = Duration::from_mins(10);

/// `reset-monitor probe`
#[derive(Clone, Debug, clap::Args)]
pub struct ProbeArgs {
    /// URL for HTTP/1.1, or HOST:PORT for plain TCP
    #[arg(value_name = "TARGET")]
    pub target: Target,
    /// Stay quiet for so long, and use the connection again
    #[arg(long, value_name = "TIME", value_parser = typed::duration, conflicts_with_all = ["sweep", "max_wait"])]
    pub idle: Option<Duration>,
    /// The same for many times at once, such as 55s..65s
    #[arg(long, value_name = "FROM..TO", conflicts_with = "max_wait")]
    pub sweep: Option<Sweep>,
    /// From one of these times to the next [default: a twentieth of the sweep]
    #[arg(long, value_name = "TIME", value_parser = typed::some_duration, requires = "sweep")]
    pub step: Option<Duration>,
    /// How many connections, or with --sweep how many for each time; 1000 in all at most [default: 3, with --sweep 1]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    pub connections: Option<u32>,
    /// How long to wait for the end [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = typed::some_duration)]
    pub max_wait: Option<Duration>,
    /// How long to wait for the name's addresses, for a connection, for TLS, and for an answer [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = typed::some_duration)]
    pub timeout: Option<Duration>,
    /// HTTP method [default: GET, since some servers do not keep connections on which they were asked HEAD]
    #[arg(short = 'X', long, value_parser = typed::method)]
    pub method: Option<String>,
    /// HTTP header, such as 'Host: api.example'; repeatable
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<Header>,
    /// What to say to HOST:PORT, with \r \n \t \0 \\ \xNN; without it nothing. It need not be answered: without an answer in 2 s the connection is held
    #[arg(long, value_name = "TEXT")]
    pub send: Option<Payload>,
    /// How to encrypt
    #[command(flatten)]
    pub tls: TlsArgs,
    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 only
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// Connect from this address of this host
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["ipv4", "ipv6"])]
    pub source: Option<IpAddr>,
    /// Table for people, or one JSON object at the end
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// How to encrypt.
#[derive(Clone, Debug, clap::Args)]
pub struct TlsArgs {
    /// TLS to HOST:PORT
    #[arg(long)]
    pub tls: bool,
    /// Believe certificates that lead to one of these (PEM), instead of this host's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Believe any certificate
    #[arg(long)]
    pub insecure: bool,
}

/// Probes as `args` say, and prints what was learnt.
pub async fn run(args: &ProbeArgs) -> anyhow::Result<()> {
    let plans = plans(args)?;
    let ask = ask(args)?;
    let tls = encryption(args)?;
    let (send_stop, stop) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    let mut run = Run::new(args, plans, stop);
    // All that waits looks at `stop`, so this ends soon after a signal. Whoever does not want to wait for what was learnt sends another.
    let mut probing = std::pin::pin!(run.probe(ask, tls));
    let mut left = std::pin::pin!(reader::left());
    loop {
        tokio::select! {
            biased;
            result = &mut probing => return result,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            // As for `head`: nobody wants to know more, which is no failure.
            () = &mut left => return Ok(()),
        }
        if send_stop.send_replace(true) {
            return Err(NotLearnt::StoppedTwice.into());
        }
    }
}

/// One for each connection.
fn plans(args: &ProbeArgs) -> Result<Vec<Plan>, ProbeUsageError> {
    let ProbeArgs { target, idle, sweep, step, connections, max_wait, send, .. } = args;
    let again = idle.map(|_| "--idle").or(sweep.map(|_| "--sweep"));
    if let Some(option) = again.filter(|_| !target.is_http() && send.is_none()) {
        return Err(ProbeUsageError::NothingToSay { option });
    }
    let times = |sweep: Sweep| sweep.times(*step, connections.unwrap_or(1)).map_err(ProbeUsageError::Sweep);
    if let Some(times) = sweep.map(times).transpose()? {
        return Ok(times.into_iter().map(|idle| Plan::Reuse { idle }).collect());
    }
    let plan = match *idle {
        Some(idle) => Plan::Reuse { idle },
        None => Plan::Hold { most: max_wait.unwrap_or(MAX_WAIT) },
    };
    Ok(vec![plan; connections.unwrap_or(CONNECTIONS) as usize])
}

fn ask(args: &ProbeArgs) -> Result<Ask, ProbeUsageError> {
    let ProbeArgs { target, method, headers, send, .. } = args;
    if target.is_http() {
        if send.is_some() {
            return Err(ProbeUsageError::ForTcp { option: "--send" });
        }
        let method = method.clone().unwrap_or_else(|| "GET".to_owned());
        return Ok(Ask::Http { request: http::request(target, &method, headers), method });
    }
    match (method, headers.is_empty()) {
        (Some(_), _) => Err(ProbeUsageError::ForHttp { option: "--method" }),
        (None, false) => Err(ProbeUsageError::ForHttp { option: "--header" }),
        (None, true) => Ok(send.clone().map_or(Ask::Nothing, |Payload(bytes)| Ask::Bytes(bytes))),
    }
}

/// Without TLS, or with it; then without settings if there is nothing to check certificates with.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// In the clear.
    None,
    /// Nothing to check certificates with.
    NoCertificates,
    /// With these settings, to whom this name belongs.
    With(Arc<ClientConfig>, ServerName<'static>),
}

fn encryption(args: &ProbeArgs) -> Result<Encryption, ProbeUsageError> {
    let TlsArgs { tls, ca, insecure } = &args.tls;
    let wanted = match args.target.scheme {
        Scheme::Https => true,
        Scheme::Http => false,
        Scheme::Tcp => *tls,
    };
    if *tls && args.target.is_http() {
        return Err(ProbeUsageError::ForTcp { option: "--tls" });
    }
    if !wanted {
        let unused = ca.as_ref().map(|_| "--ca").or(insecure.then_some("--insecure"));
        return unused.map_or(Ok(Encryption::None), |option| Err(ProbeUsageError::NoTls { option }));
    }
    let trust = match ca {
        Some(file) => Trust::File(file),
        None if *insecure => Trust::Anything,
        None => Trust::System,
    };
    let name = tls::name(&args.target)?;
    let config = tls::config(trust, args.target.is_http())?;
    Ok(config.map_or(Encryption::NoCertificates, |config| Encryption::With(config, name)))
}
