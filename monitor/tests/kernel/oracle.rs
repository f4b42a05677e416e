//! The kernel's own counters and socket tables: what the daemon is measured against.
//!
//! Everything is read for the calling thread's network namespace.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};

use crate::wait;

/// TCP states as `/proc/net/tcp` numbers them.
pub(crate) mod state {
    pub(crate) const ESTABLISHED: u8 = 1;
    pub(crate) const SYN_SENT: u8 = 2;
    pub(crate) const FIN_WAIT1: u8 = 4;
    pub(crate) const FIN_WAIT2: u8 = 5;
    pub(crate) const CLOSE_WAIT: u8 = 8;
}

/// The line `Tcp:` of `/proc/net/snmp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snmp {
    /// Resets sent.
    pub(crate) out_resets: u64,
    /// Moves from CLOSED to SYN-SENT.
    pub(crate) active_opens: u64,
    /// Connections that came in.
    pub(crate) passive_opens: u64,
}

impl Snmp {
    /// Reads it.
    pub(crate) fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/thread-self/net/snmp").context("cannot read snmp")?;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let names = lines.next().context("no names of Tcp in snmp")?;
        let values = lines.next().context("no values of Tcp in snmp")?;
        let table: BTreeMap<_, _> = names.split(' ').zip(values.split(' ')).collect();
        let number = |name: &str| -> Result<u64> {
            Ok(table.get(name).with_context(|| format!("no {name} in snmp"))?.parse()?)
        };
        Ok(Self {
            out_resets: number("OutRsts")?,
            active_opens: number("ActiveOpens")?,
            passive_opens: number("PassiveOpens")?,
        })
    }

    /// The difference to an earlier reading.
    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self {
            out_resets: self.out_resets - earlier.out_resets,
            active_opens: self.active_opens - earlier.active_opens,
            passive_opens: self.passive_opens - earlier.passive_opens,
        }
    }
}

/// A line of `/proc/net/tcp` or `tcp6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketLine {
    /// One of [`state`].
    pub(crate) state: u8,
    /// Bytes received that the application has not read.
    pub(crate) unread: u32,
}

/// The socket between two ports, a minisock of `TIME_WAIT` included; `None` once there is none.
pub(crate) fn socket_between(local: u16, remote: u16) -> Result<Option<SocketLine>> {
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}"))?;
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let &[_, local_end, remote_end, state, queues, ..] = fields.as_slice() else { continue };
            if port_of(local_end)? == local && port_of(remote_end)? == remote {
                let (_, unread) = queues.split_once(':').context("no receive queue")?;
                let unread = u32::from_str_radix(unread, 16)?;
                return Ok(Some(SocketLine { state: u8::from_str_radix(state, 16)?, unread }));
            }
        }
    }
    Ok(None)
}

fn port_of(end: &str) -> Result<u16> {
    let (_, port) = end.split_once(':').context("no port in the socket table")?;
    Ok(u16::from_str_radix(port, 16)?)
}

/// Waits until the socket between two ports is in a state.
pub(crate) fn until_state(local: u16, remote: u16, wanted: u8) -> Result<()> {
    wait::until(&format!("state {wanted} of the socket {local} -> {remote}"), || {
        let line = socket_between(local, remote)?;
        Ok(if line.is_some_and(|line| line.state == wanted) {
            Ok(())
        } else {
            Err(format!("it is {line:?}"))
        })
    })
}

/// Waits until the FIN of the socket between two ports is acknowledged: then a minisock is left of it, or nothing.
pub(crate) fn until_acknowledged(local: u16, remote: u16) -> Result<()> {
    wait::until_true("the acknowledgement of a FIN", || {
        Ok(socket_between(local, remote)?.is_none_or(|line| line.state == state::FIN_WAIT2))
    })
}

/// Waits until the socket between two ports is gone.
pub(crate) fn until_gone(local: u16, remote: u16) -> Result<()> {
    wait::until_true("the end of a socket", || Ok(socket_between(local, remote)?.is_none()))
}

/// Waits until the socket between two ports has this much unread.
pub(crate) fn until_unread(local: u16, remote: u16, bytes: u32) -> Result<()> {
    wait::until_true("data in the receive queue", || {
        Ok(socket_between(local, remote)?.is_some_and(|line| line.unread == bytes))
    })
}

/// Waits until no TCP socket is left in the namespace, minisocks of `TIME_WAIT` apart: nothing can happen any more.
pub(crate) fn until_quiet() -> Result<()> {
    wait::until("the end of all sockets", || {
        let mut left = 0;
        for (file, name) in [("sockstat", "TCP:"), ("sockstat6", "TCP6:")] {
            let text = fs::read_to_string(format!("/proc/thread-self/net/{file}"))?;
            let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no TCP in sockstat")?;
            let inuse = line.split_whitespace().nth(1).context("no inuse in sockstat")?;
            left += inuse.parse::<u64>()?;
        }
        Ok(if left == 0 { Ok(()) } else { Err(format!("{left} sockets are still there")) })
    })
}
