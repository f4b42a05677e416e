//! Resets that netfilter sends for a rule. TCP does not know of them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use monitor::view::CountsView;
use socket2::Protocol;

use super::told::{lingering, received};
use super::{Scenario, Stage};
use crate::ledger::{Role, ended};
use crate::signals::Signal;
use crate::sockets::{abort, error_name, port_of, send};

/// Needs its modules, and rules of the namespace's own.
pub(crate) const REJECTS: Scenario =
    Scenario::on_all("what a REJECT rule answers is told as its doing", rejects);

fn rejects(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen()?;
    // What a rule for output rejects was never sent, as the client's TCP sees it.
    for (hook, unacked) in [("input", 7), ("output", 0)] {
        let pair = service.pair()?;
        pair.exchange(1)?;
        let before = stage.ledger.resets_by_kernel()?;
        nft(&format!(
            "add table inet trial\n\
             add chain inet trial only {{ type filter hook {hook} priority 0; }}\n\
             add rule inet trial only tcp dport {} reject with tcp reset\n",
            stage.place.port
        ))?;
        let ends = stage.ends(pair.client_port);
        send(&pair.client, b"request")?;
        stage.expect([
            ends.server().reject_sent().segment("P.", 7),
            received(ends.client(), "netfilter_reject", &pair.client)?.unacked(unacked),
        ]);
        let refused = stage.place.client_socket(Protocol::TCP, 0)?;
        let others = stage.ends(port_of(&refused)?);
        let error = refused.connect(&stage.place.target().into()).err().context("the rule lets it pass")?;
        stage.expect([
            others.server().reject_sent().segment("S", 0),
            others
                .client()
                .refused_received()
                .of_cause("netfilter_reject")
                .joined()
                .app_saw(error_name(&error)?),
        ]);
        nft("delete table inet trial\n")?;
        ensure!(
            stage.ledger.resets_by_kernel()? == before,
            "TCP knows of these resets, so they show nothing"
        );
        // The server still holds its connection, and its client is gone.
        let sent = lingering(ends.server())?;
        abort(pair.server)?;
        stage.expect([sent, ends.client().received_belated("peers_reset")]);
        stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
        stage.ledger.client(&stage.place, CountsView { refused_received: 1, ..CountsView::default() });
        stage.ledger.server(&stage.place, CountsView { aborted: 1, resets_sent: 1, ..ended(1) });
        stage.ledger.received_belated(&stage.place, Role::Client, Signal::Stray, 1);
        stage.ledger.reject_sent(stage.place.port, 2);
    }
    Ok(())
}

/// Changes the rules of the calling thread's namespace.
pub(crate) fn nft(rules: &str) -> Result<()> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `nft` (package nftables)")?;
    child.stdin.take().context("no stdin")?.write_all(rules.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "`nft` failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
