//! What attaches without a daemon, as tcpdump would: `events --local`, and the watching of `record`.

use std::io::{Stdout, Write as _, stderr};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;

use crate::aggregate::Limits;
use crate::alerts::rules::Rules;
use crate::command::events::{EventPrinter, EventsArgs, Reader};
use crate::config::DEFAULT_SIZES;
use crate::enrich::Enricher;
use crate::http::convert::owners::resolved_view;
use crate::kernel::attach::{Attached, attach, prepare};
use crate::kernel::owners;
use crate::kernel::plan::Backend;
use crate::owners::Owners;
use crate::pipeline::{Pipeline, Settings};
use crate::publish::{Known, Update};
use crate::recording::{Recorder, Written};
use crate::residents::Residents;
use crate::selection::Selection;

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
    let attached = attach_here(args.backend)?;
    let printer = EventPrinter::new(args.output, args.filter.filter(), std::io::stdout());
    watch(attached, None, Some(printer), None).map(drop)
}

/// Attaches with the sizes that a daemon has by default.
pub(super) fn attach_here(backend: Backend) -> anyhow::Result<Attached> {
    attach(prepare(&DEFAULT_SIZES, backend)?, &DEFAULT_SIZES)
}

/// Watches until a signal comes, `limit` has passed, the recording is full, or nobody reads what is printed. Returns what was
/// recorded.
pub(super) fn watch(
    attached: Attached,
    recorder: Option<Recorder>,
    printer: Option<EventPrinter<Stdout>>,
    limit: Option<Duration>,
) -> anyhow::Result<Option<Written>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the asynchronous runtime")?;
    let result = runtime.block_on(follow(attached, recorder, printer, limit));
    runtime.shutdown_background();
    result
}

async fn follow(
    attached: Attached,
    recorder: Option<Recorder>,
    printer: Option<EventPrinter<Stdout>>,
    limit: Option<Duration>,
) -> anyhow::Result<Option<Written>> {
    let Attached { facts, loaded, listening } = attached;
    let enricher = Enricher::new(&facts.reset_reasons);
    let settings = Settings {
        limits: LIMITS,
        enricher,
        hz: facts.hz,
        alerts: Rules::default(),
        selection: Selection::default(),
    };
    let (pipeline, published) = Pipeline::new(loaded, listening, settings)?;
    let (stop, stopping) = watch::channel(false);
    // What is printed beside a recording is what a replay prints, which can look nothing up.
    let (pipeline, looked_up, mut search) = if recorder.is_some() || printer.is_none() {
        (pipeline, None, None)
    } else {
        let (owners, questions) = Owners::new();
        let search = Box::pin(owners::run(questions, owners.clone(), stopping.clone()));
        let looked_up = (owners.clone(), published.residents().clone());
        (pipeline.with_owners(owners), Some(looked_up), Some(search))
    };
    let mut shown =
        printer.map(|printer| Shown { printer, events: published.subscribe(), looked_up, next: None });
    let mut pipeline = std::pin::pin!(pipeline.with_recorder(recorder).run(stopping));
    let mut limit = std::pin::pin!(after(limit));
    let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;
    // The pipeline is asked to stop and ends by itself: what it still holds is told, and the recording gets its end.
    let written = loop {
        tokio::select! {
            _ = terminate.recv() => drop(stop.send_replace(true)),
            _ = interrupt.recv() => drop(stop.send_replace(true)),
            () = &mut limit, if !*stop.borrow() => drop(stop.send_replace(true)),
            ended = &mut pipeline => break ended?,
            ended = searched(&mut search) => {
                search = None;
                ended?;
            }
            printed = print_next(&mut shown) => if printed? == Reader::Left {
                shown = None;
                stop.send_replace(true);
            },
        }
    };
    shown.map_or(Ok(()), Shown::rest)?;
    Ok(written)
}

/// Never, without a limit.
async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Never, if nothing is looked up.
async fn searched<T>(search: &mut Option<impl Future<Output = T> + Unpin>) -> T {
    match search {
        Some(search) => search.await,
        None => std::future::pending().await,
    }
}

/// Never, if nothing is to be printed.
async fn print_next(shown: &mut Option<Shown>) -> std::io::Result<Reader> {
    match shown {
        Some(shown) => shown.next().await,
        None => std::future::pending().await,
    }
}

/// What the pipeline shows, on its way to standard output.
struct Shown {
    printer: EventPrinter<Stdout>,
    events: Receiver<Update>,
    looked_up: Option<(Owners, Residents)>,
    /// To be printed as soon as its owner is known: kept here, since waiting for that may be broken off.
    next: Option<Update>,
}

impl Shown {
    async fn next(&mut self) -> std::io::Result<Reader> {
        if self.next.is_none() {
            self.next = match self.events.recv().await {
                Ok(update) => Some(update),
                Err(RecvError::Lagged(missed)) => return tell_missed(missed),
                // The pipeline is at its end, which is waited for beside this.
                Err(RecvError::Closed) => std::future::pending().await,
            };
        }
        if let (Some(Update::Event(told)), Some((owners, _))) = (&self.next, &self.looked_up) {
            owners.known_or_late(told).await;
        }
        self.next.take().map_or(Ok(Reader::Listens), |update| self.print(&update))
    }

    /// Prints what is left when the pipeline has ended.
    fn rest(mut self) -> std::io::Result<()> {
        loop {
            let next = self.next.take().map_or_else(|| self.events.try_recv(), Ok);
            let reader = match next {
                Ok(update) => self.print(&update)?,
                Err(TryRecvError::Lagged(missed)) => tell_missed(missed)?,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(()),
            };
            if reader.is_closed() {
                return Ok(());
            }
        }
    }

    fn print(&mut self, update: &Update) -> std::io::Result<Reader> {
        let looked_up = self.looked_up.as_ref();
        let known = Known {
            owners: looked_up.map(|(owners, _)| owners),
            names: None,
            residents: looked_up.map(|(_, residents)| residents),
        };
        let view = |told| resolved_view(told, known);
        match update {
            Update::Event(told) => self.printer.print(&view(told)),
            Update::Revised(told) => self.printer.print_verdict(&view(told)),
            Update::InBurst(told) => self.printer.print_burst(&view(told)),
        }
    }
}

fn tell_missed(missed: u64) -> std::io::Result<Reader> {
    writeln!(stderr(), "{missed} events were missed here: more came than could be printed")?;
    Ok(Reader::Listens)
}
