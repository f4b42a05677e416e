//! Where records come from: the ring of the running kernel programs.

use std::io;
use std::task::{Context, Poll, Waker};

use aya::maps::{MapData, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Records drained per wake-up at most, so that ticks and shutdown are never starved.
const BATCH: usize = 4_096;

/// The live ring.
#[expect(missing_debug_implementations, reason = "aya's ring buffer has none")]
pub struct Source {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Source {
    /// Registers the ring with the runtime's reactor.
    pub fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe for types whose descriptor may change; aya's ring owns its map, and so one \
                      descriptor, for as long as it lives"
        )]
        let ring = AsyncFd::with_interest(ring, Interest::READABLE)?;
        Ok(Self { ring })
    }

    /// Waits until there may be records. Cancelling it loses nothing.
    pub async fn ready(&mut self) -> io::Result<()> {
        self.ring.readable_mut().await.map(drop)
    }

    /// Hands over the records that are there, at most a batch; a record is only valid within `take`. The slot of the ring
    /// is free again when it returns.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut context = Context::from_waker(Waker::noop());
        // The reactor's word first and the records then: one that comes in between renews the word, and clearing the old
        // word does not undo that.
        let Poll::Ready(ready) = self.ring.poll_read_ready_mut(&mut context) else {
            drain_batch(self.ring.get_mut(), &mut take);
            return Ok(());
        };
        let mut ready = ready?;
        if drain_batch(ready.get_inner_mut(), &mut take) {
            ready.clear_ready();
        }
        Ok(())
    }
}

/// Whether the ring was empty at the end.
fn drain_batch(ring: &mut RingBuf<MapData>, take: &mut impl FnMut(&[u8])) -> bool {
    for _ in 0..BATCH {
        let Some(record) = ring.next() else { return true };
        take(&record);
    }
    false
}
