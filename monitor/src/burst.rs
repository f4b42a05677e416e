//! Bursts: many connections of one peer that end by resets within a second, as they do when a process dies or is replaced.

use jiff::Timestamp;

/// What is known of a burst when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Number in this daemon's life, from 1.
    pub id: u64,
    /// Time of its first event.
    pub first: Timestamp,
    /// Time of its last event.
    pub last: Timestamp,
    /// Connections that ended in it.
    pub connections: u32,
    /// The process at the other end, or ours, probably died or was replaced.
    pub restart: bool,
}
