//! The kernel's own counters and socket tables: what the daemon is measured against.
//!
//! Everything is read for the calling thread's network namespace.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::again::NotAsMeant;
use crate::wait;

/// TCP states as `/proc/net/tcp` numbers them.
pub(crate) mod state {
    pub(crate) const ESTABLISHED: u8 = 1;
    pub(crate) const SYN_SENT: u8 = 2;
    pub(crate) const FIN_WAIT1: u8 = 4;
    pub(crate) const FIN_WAIT2: u8 = 5;
    pub(crate) const TIME_WAIT: u8 = 6;
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
    /// Moves from SYN-SENT or SYN-RECEIVED to CLOSED.
    pub(crate) attempt_fails: u64,
    /// Moves from ESTABLISHED or CLOSE-WAIT to CLOSED.
    pub(crate) established_resets: u64,
}

impl Snmp {
    /// Reads it.
    pub(crate) fn read() -> Result<Self> {
        let table = counters("snmp", "Tcp: ")?;
        Ok(Self {
            out_resets: number(&table, "OutRsts")?,
            active_opens: number(&table, "ActiveOpens")?,
            passive_opens: number(&table, "PassiveOpens")?,
            attempt_fails: number(&table, "AttemptFails")?,
            established_resets: number(&table, "EstabResets")?,
        })
    }

    /// The difference to an earlier reading.
    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self {
            out_resets: self.out_resets - earlier.out_resets,
            active_opens: self.active_opens - earlier.active_opens,
            passive_opens: self.passive_opens - earlier.passive_opens,
            attempt_fails: self.attempt_fails - earlier.attempt_fails,
            established_resets: self.established_resets - earlier.established_resets,
        }
    }
}

/// What the line `TcpExt:` of `/proc/net/netstat` says of listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Netstat {
    /// Handshakes dropped because an accept queue was full.
    pub(crate) listen_overflows: u64,
    /// Handshakes dropped for whatever reason.
    pub(crate) listen_drops: u64,
}

impl Netstat {
    /// Reads it.
    pub(crate) fn read() -> Result<Self> {
        let table = counters("netstat", "TcpExt: ")?;
        Ok(Self {
            listen_overflows: number(&table, "ListenOverflows")?,
            listen_drops: number(&table, "ListenDrops")?,
        })
    }

    /// The difference to an earlier reading.
    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self {
            listen_overflows: self.listen_overflows - earlier.listen_overflows,
            listen_drops: self.listen_drops - earlier.listen_drops,
        }
    }
}

/// One counter of the line `TcpExt:`.
pub(crate) fn counter(name: &str) -> Result<u64> {
    number(&counters("netstat", "TcpExt: ")?, name)
}

/// Two lines of a file in `/proc/net` that begin with a word: names and values.
fn counters(file: &str, word: &str) -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(format!("/proc/thread-self/net/{file}"))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(word));
    let names = lines.next().with_context(|| format!("no names of {word}in {file}"))?;
    let values = lines.next().with_context(|| format!("no values of {word}in {file}"))?;
    Ok(names.split(' ').map(str::to_owned).zip(values.split(' ').map(str::to_owned)).collect())
}

fn number(table: &BTreeMap<String, String>, name: &str) -> Result<u64> {
    Ok(table.get(name).with_context(|| format!("no {name} in /proc/net"))?.parse()?)
}

/// What the line `TCP:` of `/proc/net/sockstat` says of sockets that nobody owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sockstat {
    /// Not closed yet; of the whole host.
    pub(crate) orphans: u64,
    /// In `TIME_WAIT`.
    pub(crate) time_wait: u64,
}

impl Sockstat {
    /// Reads it.
    pub(crate) fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/thread-self/net/sockstat")?;
        let line = text.lines().find_map(|line| line.strip_prefix("TCP: ")).context("no TCP in sockstat")?;
        let words: Vec<&str> = line.split(' ').collect();
        let number = |name| -> Result<u64> {
            let pair = words.chunks_exact(2).find(|pair| pair.first() == Some(&name));
            Ok(pair
                .and_then(|pair| pair.last())
                .with_context(|| format!("no {name} in sockstat"))?
                .parse()?)
        };
        Ok(Self { orphans: number("orphan")?, time_wait: number("tw")? })
    }
}

/// Tracked connections, and how many may be; `None` when this kernel tracks none.
pub(crate) fn conntrack() -> Option<(u64, u64)> {
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/net/netfilter/nf_conntrack_{name}")).ok();
    let number = |name| read(name)?.trim().parse().ok();
    Some((number("count")?, number("max")?))
}

/// What `ss` shows of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    /// `Recv-Q`.
    pub(crate) backlog: u64,
    /// `Send-Q`.
    pub(crate) limit: u64,
    /// `d` of `skmem`.
    pub(crate) drops: u64,
    /// `ino`.
    pub(crate) inode: u64,
}

/// Every listener on a port, as `ss` shows them.
pub(crate) fn listening(port: u16) -> Result<Vec<Listening>> {
    let output = Command::new("ss")
        .args(["-lntmeHO", &format!("sport = :{port}")])
        .output()
        .context("cannot run `ss` (package iproute2)")?;
    ensure!(output.status.success(), "`ss` failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)?.lines().map(listening_line).collect()
}

/// `LISTEN 2 1 127.0.0.2:80 0.0.0.0:* ino:123 sk:4 ... skmem:(r0,rb131072,...,d4)`
fn listening_line(line: &str) -> Result<Listening> {
    let unknown = || format!("not what `ss` usually prints: {line}");
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[_, backlog, limit, ..] = words.as_slice() else { bail!(unknown()) };
    let inode = words.iter().find_map(|word| word.strip_prefix("ino:")).with_context(unknown)?;
    Ok(Listening {
        backlog: backlog.parse()?,
        limit: limit.parse()?,
        drops: dropped(line)?,
        inode: inode.parse()?,
    })
}

/// Waits until a socket's filter has dropped a segment, as `ss` counts: one that is on its way yet would find the filter gone.
pub(crate) fn until_dropped(local: u16, remote: u16) -> Result<()> {
    let ends = format!("( sport = :{local} and dport = :{remote} )");
    wait::until_true("a segment that a filter drops", || {
        let output = Command::new("ss")
            .args(["-tnmHO", &ends])
            .output()
            .context("cannot run `ss` (package iproute2)")?;
        ensure!(output.status.success(), "`ss` failed: {}", String::from_utf8_lossy(&output.stderr));
        let line = String::from_utf8(output.stdout)?;
        Ok(if line.is_empty() { false } else { dropped(&line)? > 0 })
    })
}

/// `skmem:(r0,rb131072,...,d4)`
fn dropped(line: &str) -> Result<u64> {
    let unknown = || format!("not what `ss` usually prints: {line}");
    let (_, drops) = line.rsplit_once(",d").with_context(unknown)?;
    Ok(drops.split(')').next().with_context(unknown)?.parse()?)
}

/// What `ss` shows of an established connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Established {
    /// Of this end.
    pub(crate) local_port: u16,
    /// The smaller of `lastsnd` and `lastrcv`, in milliseconds.
    pub(crate) quiet_ms: u64,
}

/// Every established connection from or to a port, as `ss` shows them.
pub(crate) fn established(port: u16) -> Result<Vec<Established>> {
    let ends = format!("( sport = :{port} or dport = :{port} )");
    let output = Command::new("ss")
        .args(["-tniHO", "state", "established", &ends])
        .output()
        .context("cannot run `ss` (package iproute2)")?;
    ensure!(output.status.success(), "`ss` failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)?.lines().map(established_line).collect()
}

/// `0 0 127.0.0.2:80 127.0.0.3:4000 cubic ... lastsnd:120 lastrcv:120 lastack:80 ...`, without those that are 0.
fn established_line(line: &str) -> Result<Established> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let local = words.get(2).and_then(|local| local.rsplit_once(':'));
    let (_, local_port) = local.with_context(|| format!("not what `ss` usually prints: {line}"))?;
    let age = |name: &str| {
        let age = words.iter().find_map(|word| word.strip_prefix(name));
        age.map_or(Ok(0), str::parse)
    };
    Ok(Established { local_port: local_port.parse()?, quiet_ms: age("lastsnd:")?.min(age("lastrcv:")?) })
}

/// A line of `/proc/net/tcp` or `tcp6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketLine {
    /// One of [`state`].
    pub(crate) state: u8,
    /// Bytes received that the application has not read.
    pub(crate) unread: u32,
    /// The timer that runs: 3 for a minisock's own, by which it is told from a full socket in the same state
    /// (`get_timewait4_sock` in `net/ipv4/tcp_ipv4.c`, 5.10 to 7.2).
    pub(crate) timer: u8,
    /// Of its file: 0 before it is accepted, after it is closed, and of minisocks.
    pub(crate) inode: u64,
}

impl SocketLine {
    /// Whether nothing but a minisock of `TIME_WAIT` is left.
    pub(crate) const fn is_minisock(self) -> bool {
        self.timer == 3
    }
}

/// The socket between two ports, a minisock of `TIME_WAIT` included; `None` once there is none.
pub(crate) fn socket_between(local: u16, remote: u16) -> Result<Option<SocketLine>> {
    let sockets = sockets()?;
    Ok(sockets.into_iter().find(|(ports, _)| *ports == (local, remote)).map(|(_, line)| line))
}

/// The local ports of connections to this one.
pub(crate) fn connected_to(remote: u16) -> Result<Vec<u16>> {
    let is_one =
        |((_, to), line): &((u16, u16), SocketLine)| *to == remote && line.state == state::ESTABLISHED;
    Ok(sockets()?.into_iter().filter(is_one).map(|((local, _), _)| local).collect())
}

/// Every socket, by its ports: local and remote.
fn sockets() -> Result<Vec<((u16, u16), SocketLine)>> {
    let mut sockets = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}"))?;
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let &[_, local, remote, state, queues, timer, _, _, _, inode, ..] = fields.as_slice() else {
                continue;
            };
            let (timer, _) = timer.split_once(':').context("no timer")?;
            let (_, unread) = queues.split_once(':').context("no receive queue")?;
            let unread = u32::from_str_radix(unread, 16)?;
            let state = u8::from_str_radix(state, 16)?;
            let timer = u8::from_str_radix(timer, 16)?;
            let line = SocketLine { state, unread, timer, inode: inode.parse()? };
            sockets.push(((port_of(local)?, port_of(remote)?), line));
        }
    }
    Ok(sockets)
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

/// Looks at a full socket whose FIN is acknowledged, until it counts as one that stays. A close that goes on makes it a minisock at once.
const LOOKS: u32 = 10;

/// Waits until the FIN of the socket between two ports is acknowledged and a minisock is left of it, or nothing.
///
/// An acknowledgement that meets the closing thread right before it lets go of the socket leaves a full one for a minute
/// (`tcp_rcv_state_process` in `net/ipv4/tcp_input.c` asks `sock_owned_by_user`; seen on 7.2), which is not what the trial is about.
pub(crate) fn until_minisock(local: u16, remote: u16) -> Result<()> {
    let mut looks = 0;
    wait::until(&format!("a minisock {local} -> {remote}"), || {
        let line = match socket_between(local, remote)? {
            Some(line) if !line.is_minisock() => line,
            Some(_) | None => return Ok(Ok(())),
        };
        looks += u32::from(line.state == state::FIN_WAIT2);
        if looks > LOOKS {
            return Err(NotAsMeant("a full socket is left of a close".to_owned()).into());
        }
        Ok(Err(format!("it is {line:?}")))
    })
}

/// Waits until the FIN of the socket between two ports is acknowledged: then, as a rule, a minisock is left of it, or nothing.
pub(crate) fn until_acknowledged(local: u16, remote: u16) -> Result<()> {
    wait::until_true("the acknowledgement of a FIN", || {
        Ok(socket_between(local, remote)?.is_none_or(|line| line.state == state::FIN_WAIT2))
    })
}

/// Waits until an application has the socket between two ports.
pub(crate) fn until_accepted(local: u16, remote: u16) -> Result<()> {
    wait::until_true("an accepted connection", || {
        Ok(socket_between(local, remote)?.is_some_and(|line| line.inode != 0))
    })
}

/// Waits until no application has the socket between two ports any more.
pub(crate) fn until_closed(local: u16, remote: u16) -> Result<()> {
    wait::until_true("the close of a socket", || {
        Ok(socket_between(local, remote)?.is_none_or(|line| line.inode == 0))
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
