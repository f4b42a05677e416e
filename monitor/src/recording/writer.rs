//! Records, clocks and the end -> bytes of a recording. Where the bytes go is its caller's business.

use std::io::{self, Write};
use std::time::Duration;

use bytes::BufMut;

use super::format::{CLOCK_BYTES, END_BYTES, FrameKind, Header, frame_start, wall_parts};
use crate::clock::WallClock;

/// A recording in the making.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    /// The last one that was written.
    wall: WallClock,
    written: Written,
}

/// What was written, or read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records.
    pub records: u64,
    /// Bytes of the recording.
    pub bytes: u64,
    /// Stories that the kernel lost meanwhile, because the ring was full.
    pub lost: u64,
    /// Stories of refusals and strays that the kernel suppressed meanwhile, because they were too many.
    pub suppressed: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub fn start(mut out: W, header: &Header) -> io::Result<Self> {
        let bytes = header.encode().map_err(io::Error::other)?;
        out.write_all(&bytes)?;
        let written = Written { bytes: bytes.len() as u64, ..Written::default() };
        Ok(Self { out, wall: header.wall, written })
    }

    /// Writes a record that was taken at `at`, when the wall clock was `wall`.
    pub fn record(&mut self, bytes: &[u8], at: Duration, wall: WallClock) -> io::Result<()> {
        if wall != self.wall {
            let (seconds, nanoseconds) = wall_parts(wall);
            let mut payload = Vec::with_capacity(CLOCK_BYTES);
            payload.put_i64_le(seconds);
            payload.put_u32_le(nanoseconds);
            payload.put_u32_le(0);
            self.frame(FrameKind::Clock, at, &payload)?;
            self.wall = wall;
        }
        self.frame(FrameKind::Record, at, bytes)?;
        self.written.records += 1;
        Ok(())
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes the end: when it was, and what the kernel lost and suppressed meanwhile.
    pub fn finish(mut self, at: Duration, lost: u64, suppressed: u64) -> io::Result<Written> {
        let mut payload = Vec::with_capacity(END_BYTES);
        payload.put_u64_le(self.written.records);
        payload.put_u64_le(lost);
        payload.put_u64_le(suppressed);
        self.frame(FrameKind::End, at, &payload)?;
        self.flush()?;
        Ok(Written { lost, suppressed, ..self.written })
    }

    /// How much was written.
    pub const fn written(&self) -> Written {
        self.written
    }

    fn frame(&mut self, kind: FrameKind, at: Duration, payload: &[u8]) -> io::Result<()> {
        let start = frame_start(kind, at, payload)
            .ok_or_else(|| io::Error::other(format!("a record of {} bytes is too long", payload.len())))?;
        self.out.write_all(&start)?;
        self.out.write_all(payload)?;
        self.written.bytes += (start.len() + payload.len()) as u64;
        Ok(())
    }
}
