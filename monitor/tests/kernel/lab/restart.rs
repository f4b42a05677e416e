//! Servers that end with connections open: killed, told to end, reloaded.

use anyhow::Result;
use monitor::idle::IDLE;
use rustix::process::Signal;

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::program::{Client, GET, QUIET, freeze, send_signal};
use crate::again::NotAsMeant;
use crate::clock;
use crate::ledger::Role;
use crate::oracle;
use crate::sockets::{poll_for_reset, receive_end, send};
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    ("nginx's worker is killed with open, busy and idle connections", None, |api| {
        Bench::play(api, |bench| worker_ends(bench, Signal::KILL))
    }),
    ("nginx's worker ends by SIGTERM with open, busy and idle connections", None, |api| {
        Bench::play(api, |bench| worker_ends(bench, Signal::TERM))
    }),
    ("nginx is killed and started anew, and every kept connection finds out late", None, |api| {
        Bench::play(api, killed_and_started)
    }),
    ("nginx is reloaded right after requests, and every kept connection finds out late", None, |api| {
        Bench::play(api, |bench| reloaded(bench, "late_data"))
    }),
    // It closes them because they are not in use: the race is the same, and that all went at once is told by the burst.
    ("nginx is reloaded after quiet, and every kept connection finds out late", None, |api| {
        Bench::play(api, |bench| reloaded(bench, "idle_reuse"))
    }),
];

/// So many connections are kept.
const KEPT: usize = 20;
/// So many where all must be over in less than a second; twenty took an emulated machine on a busy host 1.3 s.
const AT_ONCE: usize = 5;

fn worker_ends(bench: &mut Bench<'_>, signal: Signal) -> Result<()> {
    let nginx = Nginx::start(&bench.place, Settings { with_worker: true, ..Settings::default() })?;
    let worker = nginx.worker()?;
    let (open, idle, busy) =
        (Client::connect(&bench.place)?, Client::served(&bench.place)?, Client::served(&bench.place)?);
    open.until_accepted()?;
    freeze(worker)?;
    send(&busy.socket, GET)?;
    oracle::until_unread(bench.place.port, busy.port, GET.len().try_into()?)?;
    send_signal(worker, signal)?;
    if signal != Signal::KILL {
        send_signal(worker, Signal::CONT)?;
    }
    poll_for_reset(&busy.socket)?;
    for client in [&open, &idle] {
        client.until_closed()?;
        client.ask_too_late()?;
    }
    for client in [open, idle, busy] {
        let sent =
            bench.truth(client.port, Role::Server, "reset_sent", "process_exit").owner("exiting", true);
        let sent = if signal == Signal::KILL { sent.owner("exit_signal", 9) } else { sent };
        bench.state([sent, bench.truth(client.port, Role::Client, "reset_received", "process_exit")]);
    }
    Ok(())
}

fn killed_and_started(bench: &mut Bench<'_>) -> Result<()> {
    let mut nginx = Nginx::start(&bench.place, Settings::default())?;
    let kept = (0..KEPT).map(|_| Client::served(&bench.place)).collect::<Result<Vec<_>>>()?;
    nginx.program.signal(Signal::KILL)?;
    nginx.program.wait()?;
    let _anew = Nginx::start(&bench.place, Settings::default())?;
    for client in &kept {
        client.until_closed()?;
        client.ask_too_late()?;
        bench.state([
            bench.truth(client.port, Role::Server, "reset_sent", "process_exit").owner("exit_signal", 9),
            bench.truth(client.port, Role::Client, "reset_received", "process_exit"),
        ]);
    }
    Ok(())
}

fn reloaded(bench: &mut Bench<'_>, cause: &'static str) -> Result<()> {
    let nginx = Nginx::start(&bench.place, Settings { with_worker: true, ..Settings::default() })?;
    let worker = nginx.worker()?;
    let is_quiet = cause == "idle_reuse";
    let number = if is_quiet { KEPT } else { AT_ONCE };
    let begin = clock::now();
    let kept = (0..number).map(|_| Client::served(&bench.place)).collect::<Result<Vec<_>>>()?;
    if is_quiet {
        wait::quiet_for(QUIET);
    }
    // What a reload tells the old worker: take no more, and end when nothing is left to do.
    send_signal(worker, Signal::QUIT)?;
    for client in &kept {
        receive_end(&client.socket)?;
    }
    for client in &kept {
        client.until_closed()?;
        client.ask_too_late()?;
        bench.reset(client.port, Role::Server, cause);
    }
    // A second of quiet, and it is another cause.
    if !is_quiet && clock::now().saturating_sub(begin) >= IDLE {
        return Err(
            NotAsMeant("this machine was too slow for requests right after each other".to_owned()).into()
        );
    }
    Ok(())
}
