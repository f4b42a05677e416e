//! Who has a slot.

use std::time::Duration;

use monitor_common::peer::PeerKey;

/// A slot in use. A hundred thousand of these are 6 MB, so what the key tells is not kept again.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) key: PeerKey,
    /// Sum of its counts at the last reading: a change of any of them shows.
    pub(super) activity: u64,
    /// Monotonic second in which it last changed.
    pub(super) changed: u32,
    /// It never has series of its own.
    pub(super) unselected: bool,
    /// Place in the series table.
    pub(super) series: Option<u16>,
    /// It had open connections at the last reading.
    pub(super) open: bool,
    /// When a walk found some of it last, as monotonic second, be they older than we are; `None` when it found none since.
    pub(super) walked: Option<u32>,
    /// Exchanges that the kernel had counted when the last walk began.
    pub(super) closed: u64,
    /// Exchanges as published, those of open connections among them. They never go down.
    pub(super) exchanges: u64,
    /// Its key is gone; it waits for its last counts.
    pub(super) leaving: bool,
}

impl Tenant {
    /// Whether it has done nothing for so long, and has nothing open.
    pub(super) fn is_quiet(&self, now: Duration, quiet: Duration) -> bool {
        let changed = Duration::from_secs(self.changed.into());
        !self.leaving && !self.open && self.walked.is_none() && now.saturating_sub(changed) >= quiet
    }
}

/// Monotonic seconds, whole.
pub(super) fn second(now: Duration) -> u32 {
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}
