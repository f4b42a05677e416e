//! A server that takes more memory than its container may have.

use std::fs;
use std::io::Write as _;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::program::Client;
use super::upload::header;
use crate::cgroups::SmallCgroup;
use crate::ledger::Role;
use crate::needs::Need;
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[(
    "nginx is killed for its memory with a busy and an idle connection",
    Some(Need::MemoryLimits),
    |api| Bench::play(api, killed),
)];

/// The whole of a request is to be kept in memory, for a server behind this one that need not be there.
const IN_MEMORY: &str = "client_max_body_size 0; client_body_buffer_size 1024m; location /in-memory { proxy_pass http://127.0.0.1:1; }";
/// Many times what the cgroup may have.
const UPLOAD: usize = 512 << 20;

fn killed(bench: &mut Bench<'_>) -> Result<()> {
    // Dropped last.
    let cgroup = SmallCgroup::create()?;
    let mut nginx = Nginx::start(&bench.place, Settings { server: IN_MEMORY, ..Settings::default() })?;
    let process = nginx.program.pid()?;
    // Whoever started the trials may have protected them.
    fs::write(format!("/proc/{process}/oom_score_adj"), "1000")?;
    let (idle, busy) = (Client::served(&bench.place)?, Client::connect(&bench.place)?);
    cgroup.admit(process)?;
    let head = String::from_utf8(header(UPLOAD))?.replacen(" / ", " /in-memory ", 1);
    (&busy.socket).write_all(head.as_bytes())?;
    let piece = vec![b'x'; 64 << 10];
    wait::until_true("the end of an upload", || Ok((&busy.socket).write_all(&piece).is_err()))?;
    nginx.program.wait()?;
    ensure!(cgroup.oom_kills()? == 1, "the OOM killer killed {} processes", cgroup.oom_kills()?);
    idle.until_closed()?;
    idle.ask_too_late()?;
    for client in [&idle, &busy] {
        let sent = bench.truth(client.port, Role::Server, "reset_sent", "process_exit");
        // Of an upload there may be several segments on their way, and each draws one.
        let sent = if client.port == busy.port { sent.repeatedly() } else { sent };
        let sent = sent.owner("pid", process).owner("exit_signal", Signal::KILL.as_raw());
        bench.state([
            sent.owner("oom_killed", true),
            bench.truth(client.port, Role::Client, "reset_received", "process_exit"),
        ]);
    }
    Ok(())
}
