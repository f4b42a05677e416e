//! A client's host that forgets its connections without a word, as one does that is restarted or taken from another, and comes back
//! by the same port.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::python::script;
use crate::ledger::Role;

pub(super) const EXPERIMENTS: &[Experiment] = &[(
    "curl comes from a port that nginx believes connected, and is answered by what breaks the protocol",
    None,
    |api| Bench::play(api, from_a_known_port),
)];

fn from_a_known_port(bench: &mut Bench<'_>) -> Result<()> {
    let _nginx = Nginx::start(&bench.place, Settings::default())?;
    let mut forgetful = script(bench)?;
    let port: u16 = forgetful.ask("connect")?.word(0)?.parse()?;
    forgetful.ask("get")?;
    forgetful.ask("forget")?;
    // Its SYN meets the old connection, which acknowledges what it had before (RFC 5961, section 4). That is no answer to this SYN, so it
    // is reset, and the next SYN finds a listener.
    let (url, source) = (format!("http://{}/", bench.place.target()), bench.place.source().to_string());
    let output = Command::new("curl")
        .args(["-sS", "--interface", &source, "--local-port", &port.to_string(), &url])
        .output()
        .context("cannot run `curl`")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    bench.state([
        bench.truth(port, Role::Client, "stray_sent", "protocol"),
        // What nginx had is gone with it.
        bench.truth(port, Role::Server, "reset_received", "protocol").or_perhaps(&["peer_abort"]),
    ]);
    Ok(())
}
