//! What is told of the usual ways in which connections end, for scenarios to add to.

use std::process::Command;

use anyhow::{Result, ensure};
use socket2::Socket;

use super::Stage;
use crate::expected::{End, Expected, inode_of};
use crate::owner::Owner;
use crate::sockets::{Pair, saw_reset};

/// `close()` with data unread.
pub(crate) fn unread(end: End) -> Result<Expected> {
    end.sent("unread_data")
        .certain()
        .active("ESTABLISHED")
        .reason("TCP_ABORT_ON_CLOSE")
        .owner(&Owner::me()?)
        .shutdown("both")
        .our_cgroup()
}

/// `close()` with `SO_LINGER` 0.
pub(crate) fn lingering(end: End) -> Result<Expected> {
    end.sent("linger_abort")
        .certain()
        .aborted()
        .active("ESTABLISHED")
        .reason("TCP_STATE")
        .owner(&Owner::me()?)
        .unread(0)
        .our_cgroup()
}

/// `ss -K`: what of the connection's end was left to see.
pub(crate) fn destroyed(end: End, saw: &str) -> Expected {
    end.sent("admin_abort")
        .certain()
        .aborted()
        .active("ESTABLISHED")
        .state("ESTABLISHED", "ESTABLISHED")
        .destroyed()
        .reason("TCP_STATE")
        .app_saw(saw)
}

/// The other end receives it in the middle of a connection, and its application sees it.
pub(crate) fn received(end: End, cause: &str, socket: &Socket) -> Result<Expected> {
    let inode = inode_of(socket)?;
    let saw = saw_reset(socket)?;
    end.received(cause).certain().state("ESTABLISHED", "ESTABLISHED").app_saw(saw).inode(inode).our_cgroup()
}

/// The same after the other end's FIN.
pub(crate) fn received_after_end(end: End, cause: &str, socket: &Socket) -> Result<Expected> {
    Ok(received(end, cause, socket)?.state("CLOSE_WAIT", "CLOSE_WAIT").fin("peer").shutdown("receive"))
}

/// The other end has closed before it comes, and nobody sees it.
pub(crate) fn received_by_orphan(end: End, cause: &str, state: &str) -> Expected {
    end.received(cause).state(state, state).orphan().app_saw("nothing")
}

/// So many more resets may reach a client that the first one has ended.
pub(crate) fn received_in_vain(stage: &mut Stage<'_>, client: End, number: u64) {
    stage.expect((0..number).map(|_| client.received_belated("peers_reset").perhaps()));
    stage.ledger.perhaps_belated(&stage.place, number);
}

/// Data for a connection of which a minisock is left, closed by the calling thread.
pub(crate) fn late(end: End, cause: &str, bytes: u32) -> Result<Expected> {
    Ok(end
        .sent(cause)
        .certain()
        .state("TIME_WAIT", "ESTABLISHED")
        .reason("TCP_TIMEWAIT_SOCKET")
        .fin("local")
        .remembered("our_fin")
        .owner(&Owner::me()?)
        .segment("P.", bytes)
        .in_sequence())
}

/// The same without any socket.
pub(crate) fn late_without_socket(end: End, cause: &str, bytes: u32) -> Result<Expected> {
    Ok(late(end, cause, bytes)?.no_socket().reason("NO_SOCKET").no_sequence())
}

/// Data for a full socket that the calling thread has closed.
pub(crate) fn late_to_orphan(end: End, cause: &str, before: &str, bytes: u32) -> Result<Expected> {
    end.sent(cause)
        .certain()
        .state("CLOSE", before)
        .reason("TCP_ABORT_ON_DATA")
        .orphan()
        .fin("local")
        .owner(&Owner::me()?)
        .segment("P.", bytes)
        .in_sequence()
        .our_cgroup()
}

/// `ss -K` for the client's socket.
pub(crate) fn ss_kill(pair: &Pair) -> Result<()> {
    // It asks every protocol and complains about those that cannot be killed; what counts is that the socket is gone.
    let ports = (pair.client_port.to_string(), pair.service_port.to_string());
    let output = Command::new("ss").args(["-tK", "sport", "=", &ports.0, "dport", "=", &ports.1]).output()?;
    ensure!(output.status.success(), "`ss -K` failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
