//! Where entries end up.

use std::io::{self, Write as _, stdout};
use std::path::PathBuf;

use super::Entry;
use super::file::EventFile;
use super::journal::Journal;
use super::settings::EventLogSettings;

/// What is written to.
#[derive(Debug)]
pub enum Sink {
    /// A file of bounded size, and those before it.
    File(EventFile),
    /// Standard output.
    StandardOutput,
    /// systemd's journal.
    Journal(Journal),
}

/// What cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file.
    #[error("open the event log {}: give another one with --event-log", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A socket for the journal.
    #[error("make a socket for the journal")]
    Journal(#[source] io::Error),
}

impl Sink {
    /// Opens it.
    pub(super) fn open(settings: &EventLogSettings) -> Result<Self, OpenError> {
        match settings {
            EventLogSettings::File { path, bytes, files } => EventFile::open(path, *bytes, *files)
                .map(Self::File)
                .map_err(|source| OpenError::File { path: path.clone(), source }),
            EventLogSettings::StandardOutput => Ok(Self::StandardOutput),
            EventLogSettings::Journal => Journal::open().map(Self::Journal).map_err(OpenError::Journal),
        }
    }

    /// In messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(file) => file.path().display().to_string(),
            Self::StandardOutput => "standard output".to_owned(),
            Self::Journal(_) => "the journal".to_owned(),
        }
    }

    /// Writes all of them, or fails; what failed may be there in part, but for files.
    pub(super) fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        match self {
            Self::File(file) => file.append(&lines(entries)?),
            Self::StandardOutput => {
                let mut out = stdout().lock();
                out.write_all(&lines(entries)?)?;
                out.flush()
            }
            Self::Journal(journal) => entries.iter().try_for_each(|entry| journal.send(entry)),
        }
    }
}

/// A line of JSON each, as `events -o json` prints them.
fn lines(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for entry in entries {
        lines.extend(json(entry)?);
        lines.push(b'\n');
    }
    Ok(lines)
}

/// Without a line break: JSON needs none.
pub(super) fn json(entry: &Entry) -> io::Result<Vec<u8>> {
    let json = match entry {
        Entry::Event(event) => serde_json::to_vec(event),
        Entry::Missed(missed) => serde_json::to_vec(missed),
    };
    json.map_err(io::Error::from)
}
