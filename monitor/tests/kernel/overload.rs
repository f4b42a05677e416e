//! A storm while nobody reads: stories may be lost, counts and the books about the stories may not.

use std::panic::resume_unwind;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use monitor::view::{CountsView, StatusView, StoryView};
use monitor_common::counters::KINDS;
use rustix::process::Signal;

use crate::api::Api;
use crate::daemon::Daemon;
use crate::ledger::{Ledger, ended, times};
use crate::needs::Need;
use crate::netns::Namespace;
use crate::sockets::{Family, Place, abort, wait_for_reset};
use crate::{AloneWithOwn, AloneWithShared, machine, wait};

pub(crate) const TRIALS: &[AloneWithOwn] =
    &[("counts stay exact with the smallest ring and its reader stopped", Some(Need::Pace), stopped_reader)];

pub(crate) const TRIALS_WITH_SHARED: &[AloneWithShared] =
    &[("after all this the books about stories balance", None, balance_of_stories)];

/// Of each of two threads.
const REFUSALS: u64 = 100_000;
const ABORTS: u64 = 10_000;

fn stopped_reader() -> Result<()> {
    let daemon = Daemon::start(&["--ring-bytes", "4096"])?;
    let namespace = Namespace::create()?;
    let before = daemon.api.status()?;
    namespace.enter(|| {
        let mut ledger = Ledger::open(&daemon.api, &namespace)?;
        daemon.process().signal(Signal::STOP)?;
        storm(&mut ledger)?;
        daemon.process().signal(Signal::CONT)?;
        ledger.balance()
    })?;
    let status = wait_for_books(&daemon.api)?;
    let delta = |kind: &str| -> Result<StoryView> {
        let (now, before) = (story(&status, kind)?, story(&before, kind)?);
        Ok(StoryView { seen: now.seen - before.seen, lost: now.lost - before.lost, ..now })
    };
    for kind in ["reset_sent", "reset_received"] {
        let story = delta(kind)?;
        ensure!(story.seen >= ABORTS && story.lost > 0, "{kind} should have lost stories: {story:?}");
        ensure!(story.suppressed == 0, "{kind} is never suppressed: {story:?}");
    }
    for kind in ["refused_sent", "refused_received"] {
        let story = delta(kind)?;
        ensure!(story.seen >= 2 * REFUSALS && story.suppressed > 0, "{kind} should be suppressed: {story:?}");
    }
    daemon.stop(Signal::TERM)
}

/// Two threads are refused while one makes connections and aborts them.
fn storm(ledger: &mut Ledger<'_>) -> Result<()> {
    let closed = [Place::on_loopback(Family::V4), Place::on_loopback(Family::Mapped)];
    let place = Place::on_loopback(Family::V6);
    let service = place.listen()?;
    thread::scope(|scope| {
        let refused = closed.map(|closed| scope.spawn(move || be_refused(&closed)));
        for _ in 0..ABORTS {
            let pair = service.pair()?;
            pair.exchange(1)?;
            abort(pair.client)?;
            wait_for_reset(&pair.server)?;
        }
        refused.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    for closed in &closed {
        ledger.client(closed, CountsView { refused_received: REFUSALS, ..CountsView::default() });
        ledger.refused_sent(closed.port, REFUSALS);
    }
    ledger.client(&place, times(CountsView { aborted: 1, resets_sent: 1, ..ended(1) }, ABORTS));
    ledger.server(&place, times(CountsView { reset: 1, resets_received: 1, ..ended(1) }, ABORTS));
    Ok(())
}

fn be_refused(closed: &Place) -> Result<()> {
    for _ in 0..REFUSALS {
        ensure!(closed.connect().is_err(), "the port is not closed");
    }
    Ok(())
}

/// The account of one kind.
pub(crate) fn story(status: &StatusView, kind: &str) -> Result<StoryView> {
    status.stories.get(kind).copied().with_context(|| format!("no account of {kind}"))
}

/// Waits until every record handed to the ring was read, and returns the books, which must balance.
pub(crate) fn wait_for_books(api: &Api) -> Result<StatusView> {
    wait::until("the books about stories to balance", || {
        let status = api.status()?;
        let mut submitted = 0;
        let mut decoded = 0;
        for (kind, story) in &status.stories {
            if story.seen != story.submitted + story.lost + story.suppressed {
                return Ok(Err(format!("{kind} does not add up: {story:?}")));
            }
            submitted += story.submitted;
            decoded += story.decoded;
        }
        if submitted != decoded + status.undecodable {
            return Ok(Err(format!(
                "submitted {submitted}, decoded {decoded}, undecodable {}",
                status.undecodable
            )));
        }
        Ok(Ok(status))
    })
}

fn balance_of_stories(api: &Api) -> Result<()> {
    let status = wait_for_books(api)?;
    ensure!(status.stories.len() == KINDS, "kinds are missing: {:?}", status.stories);
    ensure!(status.undecodable == 0, "{} records were not understood", status.undecodable);
    ensure!(status.failed_reads == 0, "{} kernel reads failed", status.failed_reads);
    // Where tracepoints can be preempted (7.2) a second program may be skipped, too, and most often on emulated processors.
    let most = if machine::is_virtual() { status.total.opened / 1_000 } else { 0 };
    // Programs at functions have no second one that takes over.
    for program in ["set_state", "send_reset", "receive_reset"] {
        let missed = status.missed_runs.get(program).copied().flatten().unwrap_or_default();
        ensure!(missed <= most, "the kernel skipped {missed} runs of {program}, and nobody took over");
    }
    // Other processes of the machine may be busy, so the two sums may be read at different moments.
    wait::until("the peers' sum to equal the kernel programs' own", || {
        let status = api.status()?;
        let equal = status.total == status.kernel_total;
        Ok(if equal { Ok(()) } else { Err(format!("{:?}\n{:?}", status.total, status.kernel_total)) })
    })
}
