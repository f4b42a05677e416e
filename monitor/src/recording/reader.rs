//! Bytes of a recording -> header and frames, one at a time, in bounded memory: each length is checked before it is believed.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Buf;

use super::foreign::Look;
use super::format::{
    CLOCK_BYTES, COMMON_BYTES, END_BYTES, FRAME_BYTES, FrameKind, Header, HeaderError, MAGIC, MOST_PAYLOAD,
    frame_checksum, header_size, wall_from_parts,
};
use super::writer::Written;
use crate::clock::WallClock;

/// Why a recording cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system failed.
    #[error("read it at byte {offset}")]
    Read {
        /// From where.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// Something else.
    #[error("this is not a recording: {0}")]
    Foreign(Look),
    /// A recording, but not for us.
    #[error("the recording's header cannot be used: {0}")]
    Header(HeaderError),
    /// It ends within its header.
    #[error("the recording was cut short: it ends in its header, at byte {offset}; nothing can be replayed")]
    CutHeader {
        /// How long it is.
        offset: u64,
    },
    /// It ends within or before a frame.
    #[error(
        "the recording was cut short: it ends at byte {offset}, where frame {frame} should be; it was copied in part, or recording \
         did not end in peace"
    )]
    Cut {
        /// How long it is.
        offset: u64,
        /// The frame that is not whole, counted from 1.
        frame: u64,
    },
    /// A frame is not right.
    #[error(
        "the recording is damaged: frame {frame}, at byte {offset}, {fault}; what follows it cannot be trusted"
    )]
    Frame {
        /// Where it begins.
        offset: u64,
        /// Which one, counted from 1.
        frame: u64,
        /// What is wrong with it.
        fault: FrameFault,
    },
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// Longer than any frame.
    #[error("would have {length} bytes, more than any frame has")]
    Length {
        /// As it says.
        length: u16,
    },
    /// The checksum is another.
    #[error("does not fit its checksum")]
    Checksum,
    /// A kind we do not know.
    #[error("is of a kind that this build does not know ({code})")]
    Kind {
        /// As it says.
        code: u16,
    },
    /// Right checksum, wrong content.
    #[error("has a content that makes no sense")]
    Content,
    /// Another number of records than the end says.
    #[error("counts {said} records, but {were} came before it: frames are missing or doubled")]
    Count {
        /// As the end frame says.
        said: u64,
        /// As they were read.
        were: u64,
    },
    /// Something follows the end.
    #[error("follows the end")]
    AfterEnd,
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A record.
    Record {
        /// When the pipeline took it, on the monotonic clock.
        at: Duration,
        /// As the ring gave it.
        bytes: &'a [u8],
    },
    /// The wall clock from here on.
    Clock(WallClock),
    /// The end. Nothing follows it.
    End {
        /// When the pipeline stopped, on the monotonic clock.
        at: Duration,
        /// What the recording has.
        written: Written,
    },
}

/// A recording that is read.
#[derive(Debug)]
pub struct Reader<R: Read> {
    input: R,
    header: Header,
    /// Bytes read so far.
    offset: u64,
    /// Frames begun so far.
    frame: u64,
    records: u64,
    payload: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads the header. `input` should be buffered.
    pub fn open(mut input: R) -> Result<Self, ReadError> {
        let mut start = [0; COMMON_BYTES];
        let got = fill(&mut input, &mut start, 0)?;
        let compared = got.min(MAGIC.len());
        if got == 0 || start[..compared] != MAGIC[..compared] {
            return Err(ReadError::Foreign(Look::of(&start[..got])));
        }
        if got < COMMON_BYTES {
            return Err(ReadError::CutHeader { offset: got as u64 });
        }
        let size = header_size(&start).map_err(ReadError::Header)?;
        let mut bytes = vec![0; size];
        bytes[..COMMON_BYTES].copy_from_slice(&start);
        let got = COMMON_BYTES + fill(&mut input, &mut bytes[COMMON_BYTES..], COMMON_BYTES as u64)?;
        if got < size {
            return Err(ReadError::CutHeader { offset: got as u64 });
        }
        let header = Header::decode(&bytes).map_err(ReadError::Header)?;
        Ok(Self { input, header, offset: size as u64, frame: 0, records: 0, payload: Vec::new() })
    }

    /// What the recording says about its host.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Records read so far.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// The next frame. Not to be called again after an error or the end.
    pub fn frame(&mut self) -> Result<Frame<'_>, ReadError> {
        let (begin, frame) = (self.offset, self.frame + 1);
        self.frame = frame;
        let damaged = |fault| ReadError::Frame { offset: begin, frame, fault };
        let mut start = [0; FRAME_BYTES];
        self.read(&mut start)?;
        let mut fields = &start[..];
        let (code, length) = (fields.get_u16_le(), fields.get_u16_le());
        let (checksum, at) = (fields.get_u32_le(), Duration::from_nanos(fields.get_u64_le()));
        if usize::from(length) > MOST_PAYLOAD {
            return Err(damaged(FrameFault::Length { length }));
        }
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(length.into(), 0);
        self.read(&mut payload)?;
        self.payload = payload;
        if frame_checksum(&start, &self.payload) != checksum {
            return Err(damaged(FrameFault::Checksum));
        }
        match FrameKind::from_code(code).ok_or_else(|| damaged(FrameFault::Kind { code }))? {
            FrameKind::Record => {
                self.records += 1;
                Ok(Frame::Record { at, bytes: &self.payload })
            }
            FrameKind::Clock => {
                clock(&self.payload).map(Frame::Clock).ok_or_else(|| damaged(FrameFault::Content))
            }
            FrameKind::End => {
                let (lost, suppressed) = end(&self.payload, self.records).map_err(damaged)?;
                if fill(&mut self.input, &mut [0], self.offset)? > 0 {
                    let (offset, fault) = (self.offset, FrameFault::AfterEnd);
                    return Err(ReadError::Frame { offset, frame: frame + 1, fault });
                }
                let written = Written { records: self.records, bytes: self.offset, lost, suppressed };
                Ok(Frame::End { at, written })
            }
        }
    }

    /// Reads all of `buffer`.
    fn read(&mut self, buffer: &mut [u8]) -> Result<(), ReadError> {
        let got = fill(&mut self.input, buffer, self.offset)?;
        self.offset += got as u64;
        if got < buffer.len() {
            return Err(ReadError::Cut { offset: self.offset, frame: self.frame });
        }
        Ok(())
    }
}

fn clock(mut payload: &[u8]) -> Option<WallClock> {
    if payload.len() != CLOCK_BYTES {
        return None;
    }
    let (seconds, nanoseconds) = (payload.get_i64_le(), payload.get_u32_le());
    wall_from_parts(seconds, nanoseconds)
}

/// What the end says the kernel lost and suppressed; its number of records must be that of those read.
fn end(mut payload: &[u8], were: u64) -> Result<(u64, u64), FrameFault> {
    if payload.len() != END_BYTES {
        return Err(FrameFault::Content);
    }
    let said = payload.get_u64_le();
    if said != were {
        return Err(FrameFault::Count { said, were });
    }
    Ok((payload.get_u64_le(), payload.get_u64_le()))
}

/// Reads as much of `buffer` as there is, and says how much that was. `offset` is for the message of a failure.
fn fill(input: &mut impl Read, buffer: &mut [u8], offset: u64) -> Result<usize, ReadError> {
    let mut got = 0;
    while got < buffer.len() {
        match input.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(ReadError::Read { offset: offset + got as u64, source }),
        }
    }
    Ok(got)
}
