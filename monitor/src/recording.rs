//! Recordings: the pipeline's input as a file, so that the same records can go through the same stages again.
//!
//! What the stages of `story.rs` tell is a function of the records' bytes, of the moments at which they were taken, and of
//! the host's timebase and names. A recording holds exactly these. The writer never decides what is worth keeping, and the
//! reader takes nothing from the host it runs on.
//!
//! # Format 1
//!
//! Numbers are little-endian. A file is a header, then frames. The first 16 bytes of the header, and the checksum at its end,
//! are the same in all versions of the format.
//!
//! | header: byte | size | |
//! |---|---|---|
//! | 0 | 8 | `89 52 4d 52 45 43 0d 0a`: no text, and changed by whatever changes line ends |
//! | 8 | 4 | version of the format, 1 |
//! | 12 | 4 | size of the header, all of it, at most 65,536 |
//! | 16 | 4 | version of the records (`monitor_common::record::RECORD_VERSION`) |
//! | 20 | 4 | size of a record |
//! | 24 | 4 | jiffies per second of the kernel |
//! | 28 | 4 | wall-clock time at monotonic zero: nanoseconds within the second |
//! | 32 | 8 | the same: seconds since 1970, signed |
//! | 40 | 2 | length of the version of the reset-monitor that wrote it |
//! | 42 | 2 | length of the kernel's release |
//! | 44 | 2 | number of reset reasons |
//! | 46 | 2 | 0 |
//! | 48 | | the two texts, UTF-8 |
//! | | | the reasons: value (4 bytes), length of the name (2), the name |
//! | last 4 | 4 | CRC-32 of everything before |
//!
//! | frame: byte | size | |
//! |---|---|---|
//! | 0 | 2 | kind |
//! | 2 | 2 | length of the payload, at most 4,096 |
//! | 4 | 4 | CRC-32 of kind, length, moment and payload |
//! | 8 | 8 | moment: nanoseconds of the monotonic clock |
//! | 16 | | payload |
//!
//! | kind | payload |
//! |---|---|
//! | 1, record | the record as the ring gave it; the moment is when the pipeline took it |
//! | 2, clock | wall-clock time at monotonic zero from here on: seconds (8, signed), nanoseconds (4), 0 (4). Written before a record if it changed |
//! | 3, end | number of records (8); stories the kernel lost (8) and suppressed (8) meanwhile. The moment is when the pipeline stopped; nothing follows |
//!
//! A file without an end frame was cut: what it holds is good up to there.

mod foreign;
mod format;
mod reader;
mod recorder;
mod replay;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub use self::foreign::Look;
pub use self::format::{FORMAT_VERSION, Header, HeaderError};
pub use self::reader::{Frame, FrameFault, ReadError, Reader};
pub use self::recorder::{RecordError, Recorder};
pub use self::replay::{Replay, Step};
pub use self::writer::{Writer, Written};

/// Replays a whole recording held in memory, to nowhere. Any bytes will do: they give an error or an end, in bounded memory.
pub fn replay_bytes(bytes: &[u8]) -> Result<Written, ReadError> {
    let mut replay = Replay::open(bytes)?;
    loop {
        match replay.step(&mut |_| {})? {
            Step::More => {}
            Step::Ended(written) => return Ok(written),
        }
    }
}
