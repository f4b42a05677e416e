//! Mixed traffic to a server whose clients give up in time, which is reloaded and killed meanwhile: nobody may say that this is
//! misaligned.
//!
//! Timeouts are a tenth of what they usually are, so that a minute holds what happens in ten. `RESET_MONITOR_TRIAL_MINUTES` makes it
//! longer.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use monitor::view::timeouts::TimeoutView;
use rustix::process::Signal;

use super::Experiment;
use super::bench::Bench;
use super::keepalive::rows;
use super::nginx::{Nginx, Settings};
use super::program::{Client, send_signal};
use crate::clock::now;
use crate::needs::Need;
use crate::sockets::Place;
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[(
    "mixed traffic of busy, pooled and short connections that are aligned raises no alarm",
    Some(Need::Pace),
    |api| Bench::watch(api, no_alarm),
)];

/// Far above what any client waits for, on a slow machine, too.
const SERVER: &str = "keepalive_timeout 9s; keepalive_requests 100000;";
/// So many looks are between two changes, a reload and the end of a worker in turn.
const BETWEEN_CHANGES: u32 = 40;
/// Between requests of a connection that is in use, in milliseconds: up to twice what makes a connection idle.
const BUSY: [u64; 7] = [40, 900, 2_000, 150, 1_300, 400, 1_100];
/// How often one of a pool is asked, and after how much quiet it is given up: timers tick late.
const POOLED: [(usize, u64); 5] = [(3, 3_000), (1, 3_010), (8, 3_000), (2, 3_030), (5, 3_020)];

fn no_alarm(bench: &mut Bench<'_>) -> Result<()> {
    let nginx =
        Nginx::start(&bench.place, Settings { server: SERVER, with_worker: true, ..Settings::default() })?;
    let place = bench.place;
    let end = now() + length()?;
    // Nobody may be blind meanwhile: in the end the clients' timeout is known.
    let is_known = AtomicBool::new(false);
    let is_over = || now() >= end && (is_known.load(Ordering::Relaxed) || now() >= end + wait::deadline());
    thread::scope(|scope| -> Result<()> {
        let is_over = &is_over;
        let busy = [0, 3].map(|from| scope.spawn(move || busy(&place, from, is_over)));
        let pooled = [0, 1, 2, 3, 4].map(|from| scope.spawn(move || pooled(&place, from, is_over)));
        let short = scope.spawn(move || short(&place, is_over));
        for look in 1.. {
            if is_over() {
                break;
            }
            // A reload ends what is quiet, after any quiet, and a worker that is killed ends everything. Another one takes over.
            match look % (2 * BETWEEN_CHANGES) {
                0 => send_signal(nginx.worker()?, Signal::KILL)?,
                BETWEEN_CHANGES => nginx.program.signal(Signal::HUP)?,
                _ => {}
            }
            let rows = rows(bench)?;
            let alarm = rows.iter().find(|row| ["misaligned", "tight"].contains(&&*row.verdict));
            ensure!(alarm.is_none(), "a false alarm: {alarm:?}");
            let knows = |row: &TimeoutView| row.role == "client" && !row.local.timeouts.is_empty();
            is_known.store(rows.iter().any(knows), Ordering::Relaxed);
            wait::quiet_for(Duration::from_millis(250));
        }
        for worker in busy.into_iter().chain(pooled).chain([short]) {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(())
    })?;
    ensure!(is_known.load(Ordering::Relaxed), "no timeout of clients: {:?}", rows(bench)?);
    Ok(())
}

/// Of the traffic.
fn length() -> Result<Duration> {
    let minutes = env::var("RESET_MONITOR_TRIAL_MINUTES").ok();
    let minutes = minutes.map(|text| text.parse::<u32>().context("RESET_MONITOR_TRIAL_MINUTES is no number"));
    Ok(minutes.transpose()?.map_or(Duration::from_secs(30), |minutes| Duration::from_mins(1) * minutes))
}

/// One connection that is never quiet for long, and made anew when the server has ended it.
fn busy(place: &Place, from: usize, is_over: impl Fn() -> bool) -> Result<()> {
    let mut client = Client::connect(place)?;
    for gap in BUSY.iter().cycle().skip(from) {
        if is_over() {
            break;
        }
        if client.get().is_err() {
            client = Client::connect(place)?;
        }
        wait::quiet_for(Duration::from_millis(*gap));
    }
    Ok(())
}

/// Connections that are given up when they were not used for a while.
fn pooled(place: &Place, from: usize, is_over: impl Fn() -> bool) -> Result<()> {
    for (requests, patience) in POOLED.iter().cycle().skip(from) {
        if is_over() {
            break;
        }
        let client = Client::connect(place)?;
        for gap in BUSY.iter().take(*requests).filter(|gap| **gap < *patience) {
            if client.get().is_err() {
                break;
            }
            wait::quiet_for(Duration::from_millis(*gap));
        }
        // An error is the end of the server's worker.
        drop(client.get());
        wait::quiet_for(Duration::from_millis(*patience));
    }
    Ok(())
}

/// Requests on connections of their own, and probes that ask nothing.
fn short(place: &Place, is_over: impl Fn() -> bool) -> Result<()> {
    while !is_over() {
        drop(Client::served(place));
        drop(Client::connect(place)?);
        wait::quiet_for(Duration::from_millis(100));
    }
    Ok(())
}
