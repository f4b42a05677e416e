//! A run: connections begin bit by bit, each tells what became of it, and all of them are summed up.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use tokio_rustls::TlsConnector;

use super::connect::Connector;
use super::connection::{Plan, Task, Used, stopped};
use super::exchange::Ask;
use super::failure::{Failure, NotLearnt};
use super::lookup::{Family, resolve};
use super::outcome::{Answer, Outcome, Report};
use super::progress::Progress;
use super::summary::Summary;
use super::view::ProbeView;
use super::{Encryption, ProbeArgs, text};
use crate::advice::numbers::{count, seconds};
use crate::clock;
use crate::terminal::table::Table;
use crate::terminal::{Medium, Output, ends_quietly, printable_json};

/// For a connection, for TLS, and for an answer.
const TIME: Duration = Duration::from_secs(10);
/// Handshakes and first answers under way at once.
const OPENING: usize = 16;
/// Between two beginnings at most: timers that look once a second are met at different moments.
const APART: Duration = Duration::from_millis(350);
/// And so many connections take no longer than this.
const BEGINNING: Duration = Duration::from_secs(5);

/// A run and what it has learnt so far.
pub struct Run<'a> {
    args: &'a ProbeArgs,
    plans: Vec<Plan>,
    stop: watch::Receiver<bool>,
    progress: Progress,
    table: Table,
    reports: Vec<Report>,
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Run").field("args", self.args).finish_non_exhaustive()
    }
}

impl<'a> Run<'a> {
    /// Of connections that do so.
    pub fn new(args: &'a ProbeArgs, plans: Vec<Plan>, stop: watch::Receiver<bool>) -> Self {
        let columns = if reuses(args) { &text::REUSED } else { &text::HELD };
        let progress = Progress::new(plans.len(), clock::monotonic());
        Self {
            args,
            plans,
            stop,
            progress,
            table: Table::new(columns, Medium::stdout()),
            reports: Vec::new(),
        }
    }

    /// Probes, and prints what was learnt.
    pub async fn probe(&mut self, ask: Ask, tls: Encryption) -> anyhow::Result<()> {
        let Some((task, used)) = self.begin(ask, tls).await? else { return Err(NotLearnt::Stopped.into()) };
        self.introduce(&task, &used);
        let address = task.connector.address;
        let mut connections = self.start(&task, used);
        let mut tick = interval(self.progress.period());
        tick.tick().await;
        loop {
            tokio::select! {
                report = connections.join_next() => match report {
                    Some(report) => self.take(report.context("a connection's task failed")?)?,
                    None => break,
                },
                _ = tick.tick() => self.progress.show(clock::monotonic()),
            }
        }
        self.progress.clear();
        self.conclude(address)
    }

    /// Looks the name up, and makes the first connection: what is wrong with it is wrong with all.
    async fn begin(&mut self, ask: Ask, tls: Encryption) -> Result<Option<(Task, Used)>, Failure> {
        let args = self.args;
        let family = match args.source {
            Some(IpAddr::V4(_)) => Family::V4,
            Some(IpAddr::V6(_)) => Family::V6,
            None if args.ipv4 => Family::V4,
            None if args.ipv6 => Family::V6,
            None => Family::Any,
        };
        let time = args.timeout.unwrap_or(TIME);
        let addresses = tokio::select! {
            addresses = resolve(&args.target, family, time) => addresses?,
            () = stopped(&mut self.stop) => return Ok(None),
        };
        let mut failures = Vec::new();
        for address in addresses {
            let tls = match &tls {
                Encryption::None => None,
                Encryption::NoCertificates => return Err(Failure::NoCertificates { address }),
                Encryption::With(config, name) => {
                    Some((TlsConnector::from(Arc::clone(config)), name.clone()))
                }
            };
            let connector = Connector { address, source: args.source, time, tls };
            let task = Task { connector, ask: ask.clone(), time, stop: self.stop.clone() };
            match task.open().await {
                Ok(used) => return Ok(used.map(|used| (task, used))),
                // Another address of the same host may be reached; whatever else is wrong is so everywhere.
                Err(failure @ (Failure::Connect { .. } | Failure::ConnectTimeout { .. })) => {
                    failures.push(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        // `resolve` gives one address at least.
        Failure::of_all(failures).map_or(Ok(None), Err)
    }

    /// Says what is talked to, and what is odd about it.
    fn introduce(&mut self, task: &Task, used: &Used) {
        let Task { connector, .. } = task;
        let what = match self.plans.first() {
            Some(Plan::Hold { most }) => format!("held for at most {}", seconds(*most)),
            Some(Plan::Reuse { idle: _ }) | None => "used again after being idle".to_owned(),
        };
        let many = count(self.plans.len() as u64, "connection");
        self.progress.tell(&format!("probing {}: {many}, {what}; Ctrl-C ends it", connector.address));
        if let Answer::Http(head) = used.answer() {
            if let Some(location) = &head.location {
                self.progress.tell(&format!(
                    "it answers {} and points to {location}, which is not followed",
                    head.status
                ));
            } else if head.status >= 400 {
                let status = head.status;
                self.progress.tell(&format!(
                    "it answers {status}: after errors some servers close sooner; name a page that exists"
                ));
            }
        }
    }

    /// Starts all connections, bit by bit.
    fn start(&self, task: &Task, first: Used) -> JoinSet<Report> {
        let apart =
            u32::try_from(self.plans.len()).map_or(APART, |many| (BEGINNING / many.max(1)).min(APART));
        let opening = Arc::new(Semaphore::new(OPENING));
        let mut connections = JoinSet::new();
        let mut first = Some(first);
        for (number, plan) in (0_u32..).zip(self.plans.iter().copied()) {
            let (task, opening, opened) =
                (task.clone(), Arc::clone(&opening), Arc::clone(&self.progress.opened));
            match first.take() {
                Some(used) => {
                    opened.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(task.go_on(number + 1, used, plan));
                }
                None => {
                    connections.spawn(another(task, opening, opened, number, apart * number, plan));
                }
            }
        }
        connections
    }

    fn take(&mut self, report: Report) -> io::Result<()> {
        self.progress.one_ended();
        self.progress.clear();
        if let (Output::Table, Some(cells)) = (self.args.output, text::row(&report, reuses(self.args))) {
            let mut out = io::stdout().lock();
            ends_quietly(self.table.row(&mut out, &cells).and_then(|()| out.flush()))?;
        }
        self.reports.push(report);
        Ok(())
    }

    /// Prints what all of them say; an error where that is less than was asked for.
    fn conclude(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let summary = Summary::of(&self.reports);
        let target = self.args.target.to_string();
        let mut out = io::stdout().lock();
        let printed = match self.args.output {
            Output::Json => {
                let view = ProbeView::new(target, address.to_string(), &summary, &self.reports);
                writeln!(out, "{}", printable_json(&serde_json::to_string(&view)?))
            }
            Output::Table => {
                let lines = text::fitting(text::lines(&summary, &target), Medium::stdout());
                let all = if lines.is_empty() { String::new() } else { format!("\n{}\n", lines.join("\n")) };
                out.write_all(all.as_bytes())
            }
        };
        ends_quietly(printed.and_then(|()| out.flush()))?;
        let all = self.reports.len();
        let first = self.reports.iter_mut().find(|report| matches!(report.outcome, Outcome::Failed(_)));
        if let Some(Report { outcome, .. }) = first
            && let Outcome::Failed(failure) = std::mem::replace(outcome, Outcome::Stopped)
        {
            return Err(NotLearnt::Failed { failed: summary.failed, all, first: failure }.into());
        }
        let stopped = *self.stop.borrow();
        match (summary.open_after, summary.never_quiet) {
            _ if summary.ends.is_some() || summary.edge.is_some() => Ok(()),
            (Some(time), _) if !stopped => Err(NotLearnt::NeverEnded { address, time }.into()),
            (None, Some(longest)) => Err(NotLearnt::NeverQuiet { address, longest }.into()),
            (Some(_) | None, _) => Err(NotLearnt::Stopped.into()),
        }
    }
}

fn reuses(args: &ProbeArgs) -> bool {
    args.idle.is_some() || args.sweep.is_some()
}

/// A connection that begins later than the first.
async fn another(
    task: Task,
    opening: Arc<Semaphore>,
    opened: Arc<AtomicUsize>,
    number: u32,
    after: Duration,
    plan: Plan,
) -> Report {
    let none = |outcome| Report {
        number: number + 1,
        local: None,
        wanted: plan.wanted(),
        answer: None,
        unasked: 0,
        outcome,
    };
    let mut stop = task.stop.clone();
    let used = tokio::select! {
        () = stopped(&mut stop) => return none(Outcome::Stopped),
        used = async {
            sleep(after).await;
            // It is never closed; without a permit it would only be less polite.
            let _permit = opening.acquire().await;
            task.open().await
        } => used,
    };
    match used {
        Ok(Some(used)) => {
            opened.fetch_add(1, Ordering::Relaxed);
            task.go_on(number + 1, used, plan).await
        }
        Ok(None) => none(Outcome::Stopped),
        Err(failure) => none(Outcome::Failed(failure)),
    }
}
