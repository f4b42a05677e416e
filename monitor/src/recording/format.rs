//! The bytes of a recording that are not frames' payloads: the header both ways, and a frame's first 16 bytes both ways. Pure.

use std::time::Duration;

use bytes::{Buf, BufMut};
use jiff::Timestamp;
use monitor_common::record::{RECORD_BYTES, RECORD_VERSION};

use crate::clock::WallClock;

/// How a recording begins.
pub(super) const MAGIC: [u8; 8] = *b"\x89RMREC\r\n";
/// The version of the format.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes of the header that all versions share: magic, version, size.
pub(super) const COMMON_BYTES: usize = 16;
/// Bytes of a frame before its payload.
pub(super) const FRAME_BYTES: usize = 16;
/// A payload's bytes at most. A record has a few hundred; the rest is room for frames to come.
pub(super) const MOST_PAYLOAD: usize = 4_096;
/// Bytes of a clock frame's payload.
pub(super) const CLOCK_BYTES: usize = 16;
/// Bytes of an end frame's payload.
pub(super) const END_BYTES: usize = 24;

/// Size of the header up to its texts.
const FIXED_BYTES: usize = 48;
const CHECKSUM_BYTES: usize = 4;
/// The header's bytes at most. A kernel has some thirty reasons of some twenty letters.
const MOST_HEADER: usize = 65_536;

/// Kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum FrameKind {
    /// A record.
    Record = 1,
    /// Another wall clock.
    Clock = 2,
    /// The clean end.
    End = 3,
}

impl FrameKind {
    pub(super) const fn from_code(code: u16) -> Option<Self> {
        match code {
            1 => Some(Self::Record),
            2 => Some(Self::Clock),
            3 => Some(Self::End),
            _ => None,
        }
    }
}

/// What a recording says about the host it was made on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the reset-monitor that made it.
    pub made_by: String,
    /// `uname -r` of its kernel.
    pub kernel: String,
    /// Jiffies per second of that kernel.
    pub hz: u32,
    /// Values and names of that kernel's reset reasons.
    pub reasons: Vec<(u32, String)>,
    /// Wall-clock time at monotonic zero.
    pub wall: WallClock,
}

/// Why there is no header to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Its size cannot be right.
    #[error("its size would be {size} bytes")]
    Size {
        /// As it says.
        size: u64,
    },
    /// The checksum is another.
    #[error("its checksum does not fit")]
    Checksum,
    /// Right checksum, wrong content.
    #[error("its {field} makes no sense")]
    Field {
        /// Which one.
        field: &'static str,
    },
    /// Another version of the format.
    #[error("it has version {version} of the format and this build reads version {FORMAT_VERSION}; use a reset-monitor {}", than(*.version, FORMAT_VERSION))]
    Format {
        /// Its version.
        version: u32,
    },
    /// Records of another version.
    #[error(
        "its records have version {version} with {bytes} bytes each, and this build reads version {RECORD_VERSION} with {RECORD_BYTES} \
         bytes; use reset-monitor {made_by}, which made it"
    )]
    Records {
        /// Their version.
        version: u32,
        /// Their size.
        bytes: u32,
        /// The version of the reset-monitor that made it.
        made_by: String,
    },
}

const fn than(found: u32, ours: u32) -> &'static str {
    if found > ours { "that is newer than this one" } else { "that is older than this one" }
}

impl Header {
    /// As bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, HeaderError> {
        let Self { made_by, kernel, hz, reasons, wall } = self;
        let names: usize = reasons.iter().map(|(_, name)| 6 + name.len()).sum();
        let size = FIXED_BYTES + made_by.len() + kernel.len() + names + CHECKSUM_BYTES;
        let too_large = HeaderError::Size { size: size as u64 };
        if size > MOST_HEADER {
            return Err(too_large);
        }
        // All lengths are smaller than the header, and it has just been measured.
        let short = |length: usize| u16::try_from(length).map_err(|_out_of_range| too_large.clone());
        let (seconds, nanoseconds) = wall_parts(*wall);
        let mut bytes = Vec::with_capacity(size);
        bytes.put_slice(&MAGIC);
        bytes.put_u32_le(FORMAT_VERSION);
        bytes.put_u32_le(u32::try_from(size).map_err(|_out_of_range| too_large.clone())?);
        bytes.put_u32_le(RECORD_VERSION);
        bytes.put_u32_le(record_bytes());
        bytes.put_u32_le(*hz);
        bytes.put_u32_le(nanoseconds);
        bytes.put_i64_le(seconds);
        bytes.put_u16_le(short(made_by.len())?);
        bytes.put_u16_le(short(kernel.len())?);
        bytes.put_u16_le(short(reasons.len())?);
        bytes.put_u16_le(0);
        bytes.put_slice(made_by.as_bytes());
        bytes.put_slice(kernel.as_bytes());
        for (value, name) in reasons {
            bytes.put_u32_le(*value);
            bytes.put_u16_le(short(name.len())?);
            bytes.put_slice(name.as_bytes());
        }
        bytes.put_u32_le(crc32fast::hash(&bytes));
        Ok(bytes)
    }

    /// From all its bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some((covered, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(HeaderError::Size { size: bytes.len() as u64 });
        };
        if crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
            return Err(HeaderError::Checksum);
        }
        let mut fields = Fields(covered.get(MAGIC.len()..).unwrap_or_default());
        let version = fields.u32("version")?;
        if version != FORMAT_VERSION {
            return Err(HeaderError::Format { version });
        }
        let _size = fields.u32("size")?;
        let (record_version, record_size) = (fields.u32("record version")?, fields.u32("record size")?);
        let hz = fields.u32("number of jiffies per second")?;
        let nanoseconds = fields.u32("time")?;
        let seconds = fields.u64("time")?.cast_signed();
        let (made_by, kernel) = (fields.u16("length of a text")?, fields.u16("length of a text")?);
        let (reasons, _zero) = (fields.u16("number of reasons")?, fields.u16("size")?);
        let made_by = fields.text(made_by, "version of its reset-monitor")?;
        let kernel = fields.text(kernel, "kernel release")?;
        let reasons = (0..reasons)
            .map(|_| {
                let (value, length) = (fields.u32("reason")?, fields.u16("reason")?);
                Ok((value, fields.text(length, "reason")?))
            })
            .collect::<Result<_, _>>()?;
        if (record_version, record_size) != (RECORD_VERSION, record_bytes()) {
            return Err(HeaderError::Records { version: record_version, bytes: record_size, made_by });
        }
        if !(1..=10_000).contains(&hz) {
            return Err(HeaderError::Field { field: "number of jiffies per second" });
        }
        let wall = wall_from_parts(seconds, nanoseconds).ok_or(HeaderError::Field { field: "time" })?;
        Ok(Self { made_by, kernel, hz, reasons, wall })
    }
}

/// The size of a header that begins like this, if it can be one.
pub(super) fn header_size(start: &[u8; COMMON_BYTES]) -> Result<usize, HeaderError> {
    let [.., a, b, c, d] = *start;
    let size = u32::from_le_bytes([a, b, c, d]);
    usize::try_from(size)
        .ok()
        .filter(|size| (COMMON_BYTES + CHECKSUM_BYTES..=MOST_HEADER).contains(size))
        .ok_or(HeaderError::Size { size: size.into() })
}

/// Reads of fields that are named when they are not there.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u16(&mut self, field: &'static str) -> Result<u16, HeaderError> {
        self.0.try_get_u16_le().map_err(|_short| HeaderError::Field { field })
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, HeaderError> {
        self.0.try_get_u32_le().map_err(|_short| HeaderError::Field { field })
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, HeaderError> {
        self.0.try_get_u64_le().map_err(|_short| HeaderError::Field { field })
    }

    fn text(&mut self, length: u16, field: &'static str) -> Result<String, HeaderError> {
        let wrong = HeaderError::Field { field };
        let Some((text, rest)) = self.0.split_at_checked(length.into()) else { return Err(wrong) };
        self.0 = rest;
        str::from_utf8(text).map(str::to_owned).map_err(|_invalid| wrong)
    }
}

/// A frame's first bytes: kind, length, checksum, moment.
pub(super) fn frame_start(kind: FrameKind, at: Duration, payload: &[u8]) -> Option<[u8; FRAME_BYTES]> {
    let length = u16::try_from(payload.len()).ok().filter(|&length| usize::from(length) <= MOST_PAYLOAD)?;
    let mut start = [0; FRAME_BYTES];
    let mut fields = &mut start[..];
    fields.put_u16_le(kind as u16);
    fields.put_u16_le(length);
    fields.put_u32_le(0);
    // 584 years after the host's start it stands still.
    fields.put_u64_le(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
    let checksum = frame_checksum(&start, payload).to_le_bytes();
    start[4..8].copy_from_slice(&checksum);
    Some(start)
}

/// Over everything in a frame but the checksum itself.
pub(super) fn frame_checksum(start: &[u8; FRAME_BYTES], payload: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&start[..4]);
    checksum.update(&start[8..]);
    checksum.update(payload);
    checksum.finalize()
}

/// Seconds and nanoseconds of the wall clock's origin.
pub(super) fn wall_parts(wall: WallClock) -> (i64, u32) {
    let origin = wall.at(0);
    // Before 1970 jiff counts both backwards; here nanoseconds count forwards.
    let nanoseconds = origin.as_nanosecond();
    let seconds = nanoseconds.div_euclid(1_000_000_000);
    let within = nanoseconds.rem_euclid(1_000_000_000);
    (i64::try_from(seconds).unwrap_or(i64::MAX), u32::try_from(within).unwrap_or(0))
}

/// The wall clock of [`wall_parts`]; `None` for what no clock shows.
pub(super) fn wall_from_parts(seconds: i64, nanoseconds: u32) -> Option<WallClock> {
    if nanoseconds >= 1_000_000_000 {
        return None;
    }
    let origin = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    Some(WallClock::from_pair(Timestamp::from_nanosecond(origin).ok()?, Duration::ZERO))
}

#[expect(clippy::cast_possible_truncation, reason = "a record has a few hundred bytes")]
const fn record_bytes() -> u32 {
    RECORD_BYTES as u32
}
