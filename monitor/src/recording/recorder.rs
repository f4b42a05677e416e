//! The pipeline's tap: every record that it takes also goes into a file, until there are enough of them or one cannot be written.

use std::fs::File;
use std::io::{self, BufWriter};
use std::time::Duration;

use super::format::Header;
use super::writer::{Writer, Written};
use crate::clock::WallClock;
use crate::counts::Stories;

/// A recording that a pipeline makes.
#[derive(Debug)]
pub struct Recorder {
    writer: Writer<BufWriter<File>>,
    /// Where to, for messages.
    name: String,
    /// How many records are enough.
    most: Option<u64>,
    /// Once writing has failed nothing more is taken.
    failed: Option<io::Error>,
}

/// A recording cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("write the recording {name}: it ends here; what was written before can be replayed")]
pub struct RecordError {
    /// Where to.
    name: String,
    /// What the system said.
    source: io::Error,
}

impl Recorder {
    /// Begins a recording in `file`. It is full with `most` records.
    pub fn start(file: File, name: String, header: &Header, most: Option<u64>) -> Result<Self, RecordError> {
        let begun = Writer::start(BufWriter::new(file), header).and_then(|mut writer| {
            writer.flush()?;
            Ok(writer)
        });
        match begun {
            Ok(writer) => Ok(Self { writer, name, most, failed: None }),
            Err(source) => Err(RecordError { name, source }),
        }
    }

    /// Takes a record as the pipeline takes it. Returns whether it did: a record that is not in the recording must not
    /// be told either, or a replay would differ.
    #[must_use]
    pub fn take(&mut self, bytes: &[u8], at: Duration, wall: WallClock) -> bool {
        if self.failed.is_some() || self.is_full() {
            return false;
        }
        self.failed = self.writer.record(bytes, at, wall).err();
        self.failed.is_none()
    }

    /// Whether it has as many records as it was to have.
    pub fn is_full(&self) -> bool {
        self.most.is_some_and(|most| self.writer.written().records >= most)
    }

    /// Hands what was taken to the system, and tells of a failure to write.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        let failed = self.failed.take().or_else(|| self.writer.flush().err());
        failed.map_or(Ok(()), |source| Err(RecordError { name: self.name.clone(), source }))
    }

    /// Ends it at `at`, with the kernel's account of stories since its start.
    pub fn finish(mut self, at: Duration, stories: &Stories) -> Result<Written, RecordError> {
        self.flush()?;
        let Self { writer, name, most: _, failed: _ } = self;
        let lost = stories.kinds.iter().map(|account| account.lost).sum();
        let suppressed = stories.kinds.iter().map(|account| account.suppressed).sum();
        writer.finish(at, lost, suppressed).map_err(|source| RecordError { name, source })
    }
}
