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

    /// Writes them one after the other until one fails. How many were written, and what was wrong then.
    pub(super) fn write(&mut self, entries: &[Entry]) -> (usize, io::Result<()>) {
        for (written, entry) in entries.iter().enumerate() {
            if let Err(error) = self.write_one(entry) {
                return (written, Err(error));
            }
        }
        (entries.len(), Ok(()))
    }

    fn write_one(&mut self, entry: &Entry) -> io::Result<()> {
        match self {
            Self::File(file) => file.append(&line(entry)?),
            Self::StandardOutput => {
                let mut out = stdout().lock();
                out.write_all(&line(entry)?)?;
                out.flush()
            }
            Self::Journal(journal) => journal.send(entry),
        }
    }
}

/// As `events -o json` prints it.
fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut line = json(entry)?;
    line.push(b'\n');
    Ok(line)
}

/// Without a line break: JSON needs none.
pub(super) fn json(entry: &Entry) -> io::Result<Vec<u8>> {
    let json = match entry {
        Entry::Event(event) => serde_json::to_vec(event),
        Entry::Missed(missed) => serde_json::to_vec(missed),
    };
    json.map_err(io::Error::from)
}
