//! TLS: the side that closes says goodbye (`close_notify`) right before its FIN, and that is no activity.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use monitor::view::CountsView;

use crate::clock::Bounds;
use crate::daemon::Scratch;
use crate::ledger::ended;
use crate::needs::Need;
use crate::oracle::{self, state};
use crate::scenarios::told::late;
use crate::scenarios::{Scenario, Stage};
use crate::scripted::Scripted;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("the goodbye of TLS 1.3 before an idle close is no activity", tls_1_3)
        .needing(Need::Pace),
    Scenario::on_all("the goodbye of TLS 1.2 before an idle close is no activity", tls_1_2)
        .needing(Need::Pace),
];

/// How soon the FIN must follow the goodbye for the daemon to see the two as one, less some jiffies. A machine that needs longer
/// makes a connection that was not quiet.
const RIGHT_AFTER: Duration = Duration::from_millis(80);

fn tls_1_3(stage: &mut Stage<'_>) -> Result<()> {
    race(stage, "TLSv1_3")
}

fn tls_1_2(stage: &mut Stage<'_>) -> Result<()> {
    race(stage, "TLSv1_2")
}

fn race(stage: &mut Stage<'_>, version: &str) -> Result<()> {
    let scratch = Scratch::create()?;
    let certificate = certificate(&scratch)?;
    let (target, source) = (stage.place.target(), stage.place.source());
    let (server, client, port) = (target.ip().to_string(), source.to_string(), target.port().to_string());
    let mut script =
        Scripted::start(include_str!("tls.py"), &[version, &server, &client, &port, &certificate])?;
    let exchange = script.ask("exchange")?;
    let (last, client_port): (_, u16) = (exchange.moment(0, 1)?, exchange.word(2)?.parse()?);
    let ends = stage.ends(client_port);
    stage.quiet();
    let close = script.ask("close")?;
    let closed = close.moment(0, 1)?;
    oracle::until_state(client_port, stage.place.port, state::CLOSE_WAIT)?;
    oracle::until_minisock(stage.place.port, client_port)?;
    let asked = script.ask("late")?;
    let (late_at, saw) = (asked.moment(0, 1)?, asked.word(2)?);

    let owner = script.owner()?;
    let right_after = Bounds::up_to(closed, closed).is_below(RIGHT_AFTER);
    let cause = if right_after { "idle_reuse" } else { "late_data" };
    let at_server = late(ends.server(), cause, 0)?.any_length().owner(&owner);
    let at_client =
        ends.client().received(cause).certain().state("CLOSE_WAIT", "CLOSE_WAIT").fin("peer").app_saw(saw);
    if right_after {
        let (idle, quiet) = (Bounds::between(last, closed), Bounds::between(last, late_at));
        stage.expect([
            ends.server().closed_idle().idle(idle, "before_fin").owner(&owner),
            ends.client().saw_idle_close().idle(idle, "before_fin"),
            at_server.idle(quiet, "before_peers_data"),
            at_client.idle(quiet, "before_our_data"),
        ]);
    } else {
        stage.expect([at_server, at_client]);
    }
    // How many segments the handshake takes is a matter of the version.
    let (at_server, at_client) = (close.word(2)?.parse()?, asked.word(3)?.parse()?);
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: 1, ..ended(at_server) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(at_client) });
    Ok(())
}

/// A key and a certificate for it, in one file.
fn certificate(scratch: &Scratch) -> Result<String> {
    let (file, config) = (scratch.file("certificate.pem")?, scratch.file("openssl.cnf")?);
    // The system's own may not be there.
    fs::write(&config, "[req]\ndistinguished_name = name\n[name]\n")?;
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"];
    let output = Command::new("openssl")
        .args(["req", "-config", &config, "-x509", "-subj", "/CN=trial", "-days", "2"])
        .args(["-keyout", &file, "-out", &file])
        .args(key)
        .output()
        .context("cannot run openssl; `cargo xtask test` provides it")?;
    ensure!(output.status.success(), "`openssl` failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(file)
}
