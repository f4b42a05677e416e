//! Listening sockets to listeners: what each dropped since the daemon started, whichever of its sockets did.
//!
//! A listener is an address and port. Its sockets come and go with restarts, and there may be several at once (`SO_REUSEPORT`).
//! Pure. At every reading, whatever came before: no listener's drops go down while it has a series, and the sum over series never does.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::growing::Growing;
use crate::kernel::sock_diag::{Dump, ListenSocket};
use crate::snapshot::listening::{ListenerRow, ListenerSeries, Queue};

/// Listeners that get series of their own as they come: more than the services of a usual host.
pub(super) const EASY: usize = 80;
/// Listeners that get series of their own at all, three series each. Those beyond [`EASY`] must have dropped something or be full, so
/// that a program that opens ports without end cannot hide a service in trouble.
pub(super) const MOST: usize = 100;
/// Closed sockets that are remembered. A socket may come back (`shutdown()` and `listen()` again), or may have been missed
/// in an answer that is put together while the table changes; its old drops must not count twice.
const CLOSED_SOCKETS: usize = 1_024;
/// Listeners without a socket that keep their drops; before that, a service that restarts is the same listener.
const CLOSED_LISTENERS: usize = 256;

/// Everything ever dropped, by listener.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// By cookie.
    sockets: HashMap<u64, Socket>,
    by_address: HashMap<SocketAddr, Listener>,
    /// Drops of listeners that were forgotten.
    folded: u64,
    /// Number of the current reading, from 1.
    reading: u64,
    /// A reading without interruption was had: a socket seen for the first time is a new one.
    complete_once: bool,
    /// The kernel tells drops.
    tells_drops: bool,
}

#[derive(Clone, Copy, Debug)]
struct Socket {
    drops: Growing,
    /// The last reading it was in.
    seen: u64,
}

#[derive(Clone, Copy, Debug)]
struct Listener {
    drops: u64,
    /// The fullest of its sockets at the last reading it was in.
    queue: Queue,
    seen: u64,
    series: Series,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Series {
    /// Not decided yet.
    New,
    /// Its own, but for what was shown under `other` before.
    Own(u64),
    /// Part of `other`.
    Other,
}

impl Listeners {
    /// One reading; `None` when the kernel did not answer. Rows of sockets, then series of listeners.
    pub(super) fn read(&mut self, dump: Option<&Dump>) -> (Option<Arc<[ListenerRow]>>, Vec<ListenerSeries>) {
        self.reading += 1;
        let rows = dump.map(|dump| {
            let rows = dump.sockets.iter().filter_map(|socket| self.socket(socket)).collect();
            self.complete_once |= !dump.interrupted;
            self.forget_sockets();
            self.find_places();
            self.forget_listeners();
            rows
        });
        (rows, self.series())
    }

    /// `None` for one that came twice in an answer.
    fn socket(&mut self, socket: &ListenSocket) -> Option<ListenerRow> {
        let ListenSocket { address, interface, only_v6, backlog, limit, drops, inode, uid, cookie } = *socket;
        self.tells_drops |= drops.is_some();
        let now = u64::from(drops.unwrap_or(0));
        // A socket that was there before us has drops that are not ours to tell; a newer one began at zero.
        let base = if self.complete_once { 0 } else { now };
        let known = self.sockets.entry(cookie).or_insert(Socket { drops: Growing::since(base), seen: 0 });
        if known.seen == self.reading {
            return None;
        }
        known.seen = self.reading;
        let grown = known.drops.read_32_bits(now);
        let sum = known.drops.sum();

        let queue = Queue { backlog, limit };
        let new = Listener { drops: 0, queue, seen: 0, series: Series::New };
        let listener = self.by_address.entry(address).or_insert(new);
        listener.drops += grown;
        listener.queue = if listener.seen == self.reading { listener.queue.fuller(queue) } else { queue };
        listener.seen = self.reading;
        let drops = drops.map(|_| sum);
        Some(ListenerRow { address, interface, only_v6, queue, drops, inode, uid })
    }

    fn forget_sockets(&mut self) {
        let reading = self.reading;
        let closed = self.sockets.iter().filter(|(_, socket)| socket.seen != reading);
        let mut closed: Vec<_> = closed.map(|(cookie, socket)| (socket.seen, *cookie)).collect();
        closed.sort_unstable();
        for (_, cookie) in closed.iter().rev().skip(CLOSED_SOCKETS) {
            self.sockets.remove(cookie);
        }
    }

    /// Series of their own for newcomers, those with most drops first, and for those under `other` that are in trouble now.
    fn find_places(&mut self) {
        let reading = self.reading;
        let (mut own, mut closed, mut candidates) = (0, Vec::new(), Vec::new());
        for (&address, listener) in &self.by_address {
            let open = listener.seen == reading;
            match listener.series {
                Series::Own(_) if open => own += 1,
                Series::Own(_) => closed.push((listener.seen, address)),
                Series::New | Series::Other if open => {
                    candidates.push((listener.trouble(), listener.drops, address));
                }
                Series::New | Series::Other => {}
            }
        }
        own += closed.len();
        // Closed longest last, where it is taken from.
        closed.sort_unstable_by_key(|closed| Reverse(*closed));
        candidates.sort_unstable_by_key(|(trouble, drops, address)| (Reverse((*trouble, *drops)), *address));
        for (trouble, _, address) in candidates {
            let room = if trouble { MOST } else { EASY };
            if own == room
                && let Some((_, longest)) = closed.pop()
            {
                self.forget(longest);
                own -= 1;
            }
            let Some(listener) = self.by_address.get_mut(&address) else { continue };
            if own < room {
                own += 1;
                let before = if listener.series == Series::Other { listener.drops } else { 0 };
                listener.series = Series::Own(before);
            } else {
                listener.series = Series::Other;
            }
        }
    }

    fn forget_listeners(&mut self) {
        let closed = self.by_address.iter().filter(|(_, listener)| listener.seen != self.reading);
        let mut closed: Vec<_> = closed.map(|(address, listener)| (listener.seen, *address)).collect();
        closed.sort_unstable();
        for (_, address) in closed.iter().rev().skip(CLOSED_LISTENERS) {
            self.forget(*address);
        }
    }

    fn forget(&mut self, address: SocketAddr) {
        if let Some(listener) = self.by_address.remove(&address) {
            self.folded += listener.drops;
        }
    }

    fn series(&self) -> Vec<ListenerSeries> {
        if self.reading == 0 || (self.by_address.is_empty() && !self.complete_once) {
            return Vec::new();
        }
        let drops = |count: u64| self.tells_drops.then_some(count);
        let mut other = self.folded;
        let mut other_queue: Option<Queue> = None;
        let mut series = Vec::with_capacity(MOST + 1);
        for (&address, listener) in &self.by_address {
            let queue = (listener.seen == self.reading).then_some(listener.queue);
            match listener.series {
                Series::Own(before) => {
                    other += before;
                    series.push(ListenerSeries {
                        address: Some(address),
                        queue,
                        drops: drops(listener.drops - before),
                    });
                }
                Series::New | Series::Other => {
                    other += listener.drops;
                    other_queue = match (other_queue, queue) {
                        (Some(one), Some(another)) => Some(one.fuller(another)),
                        (one, another) => one.or(another),
                    };
                }
            }
        }
        series.sort_unstable_by_key(|series| series.address);
        series.push(ListenerSeries { address: None, queue: other_queue, drops: drops(other) });
        series
    }
}

impl Listener {
    const fn trouble(&self) -> bool {
        self.drops > 0 || self.queue.is_full()
    }
}

#[cfg(test)]
mod tests;
