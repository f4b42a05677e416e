//! `events --local`: attaches without a daemon, as tcpdump would, and prints what comes.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::aggregate::Limits;
use crate::command::events::{EventPrinter, EventsArgs};
use crate::config::DEFAULT_SIZES;
use crate::enrich::Enricher;
use crate::http::convert::event_view;
use crate::kernel::attach::{Attached, attach, prepare};
use crate::pipeline::{Pipeline, Settings};
use crate::publish::Update;

/// Only events are shown, so nothing needs series.
const LIMITS: Limits = Limits {
    budgets: DEFAULT_SIZES.budgets,
    published_peers: 0,
    quiet: Duration::from_mins(10),
    closed_memory: DEFAULT_SIZES.closed_memory,
    ring_bytes: DEFAULT_SIZES.ring_bytes,
};

/// Prints events until a signal comes. There is no past to show: nobody watched.
pub fn events(args: &EventsArgs) -> anyhow::Result<()> {
    let attached = attach(prepare(&DEFAULT_SIZES)?, &DEFAULT_SIZES)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the asynchronous runtime")?;
    let result = runtime.block_on(follow(args, attached));
    runtime.shutdown_background();
    result
}

async fn follow(args: &EventsArgs, attached: Attached) -> anyhow::Result<()> {
    let Attached { facts, signals, loaded } = attached;
    let enricher = Enricher::new(&facts.reset_reasons);
    let settings = Settings { limits: LIMITS, enricher, hz: facts.hz, signals: Arc::from(signals) };
    let (pipeline, published) = Pipeline::new(loaded, settings)?;
    let mut events = published.subscribe();
    let (_stop, stopping) = watch::channel(false);
    let mut pipeline = std::pin::pin!(pipeline.run(stopping));
    let mut printer = EventPrinter::new(args.output, args.filter.filter(), std::io::stdout());
    let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            ended = &mut pipeline => return Ok(ended?),
            event = events.recv() => match event {
                Ok(Update::Event(told)) => {
                    if printer.print_told(&told)?.is_closed() {
                        return Ok(());
                    }
                }
                Ok(Update::Revised(told)) => {
                    if printer.print_verdict(&event_view(&told))?.is_closed() {
                        return Ok(());
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    writeln!(std::io::stderr(), "{missed} events were missed here: more came than could be printed")?;
                }
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}
