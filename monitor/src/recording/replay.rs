//! Frames -> the stages of `story.rs` -> events, as the pipeline did it when they were recorded. Nothing of the host it runs on
//! goes in.

use std::io::Read;
use std::time::Duration;

use super::format::Header;
use super::reader::{Frame, ReadError, Reader};
use super::writer::Written;
use crate::clock::Timebase;
use crate::enrich::Enricher;
use crate::settle::Settled;
use crate::story::Stages;

/// A recording on its way through the stages.
#[derive(Debug)]
pub struct Replay<R: Read> {
    reader: Reader<R>,
    stages: Stages,
    undecodable: u64,
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more.
    More,
    /// That was all.
    Ended(Written),
}

impl<R: Read> Replay<R> {
    /// Reads the header. `input` should be buffered.
    pub fn open(input: R) -> Result<Self, ReadError> {
        let reader = Reader::open(input)?;
        let Header { made_by: _, kernel: _, hz, reasons, wall } = reader.header();
        let stages = Stages::new(Timebase { wall: *wall, hz: *hz }, Enricher::new(reasons));
        Ok(Self { reader, stages, undecodable: 0 })
    }

    /// Takes the next frame; `out` gets what comes out at the far end. An error ends the replay, like the end: what was
    /// read before is out then.
    pub fn step(&mut self, out: &mut impl FnMut(Settled)) -> Result<Step, ReadError> {
        match self.reader.frame() {
            Ok(Frame::Record { at, bytes }) => {
                if self.stages.take(bytes, at, out).is_err() {
                    self.undecodable += 1;
                }
                Ok(Step::More)
            }
            Ok(Frame::Clock(wall)) => {
                let hz = self.stages.timebase().hz;
                self.stages.set_timebase(Timebase { wall, hz });
                Ok(Step::More)
            }
            Ok(Frame::End { at, written }) => {
                self.stages.finish(at, out);
                Ok(Step::Ended(written))
            }
            Err(error) => {
                // When recording stopped is not known; that what had come was shown before is the likely case.
                self.stages.finish(Duration::MAX, out);
                Err(error)
            }
        }
    }

    /// What the recording says about its host.
    pub const fn header(&self) -> &Header {
        self.reader.header()
    }

    /// Records read so far.
    pub const fn records(&self) -> u64 {
        self.reader.records()
    }

    /// How many of them could not be decoded.
    pub const fn undecodable(&self) -> u64 {
        self.undecodable
    }
}
