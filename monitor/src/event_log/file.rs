//! A file of bounded size: when it is full it becomes `FILE.1`, that one `FILE.2`, and the oldest goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Who was connected to whom is for the owner, and for a group that may read logs.
const MODE: u32 = 0o640;

/// The file, open for writing at its end.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
    /// Its length.
    written: u64,
    /// Most bytes of a file.
    bytes: u64,
    /// Files that are kept beside it.
    files: u32,
}

impl EventFile {
    /// Opens or makes it. Only a regular file will do: a pipe would wait for a reader, and a symbolic link may have been laid by somebody who
    /// wants root to write elsewhere.
    pub(super) fn open(path: &Path, bytes: u64, files: u32) -> io::Result<Self> {
        let file = open(path)?;
        let written = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, written, bytes, files })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line: all of it, or nothing.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.follow()?;
        let count = line.len() as u64;
        if self.written > 0 && self.written.saturating_add(count) > self.bytes {
            self.turn()?;
        }
        if let Err(error) = self.file.write_all(line) {
            // Half a line would spoil the next one, too.
            drop(self.file.set_len(self.written));
            return Err(error);
        }
        self.written += count;
        Ok(())
    }

    /// Whoever moved or removed it, as logrotate does, means the next events to go to a new one.
    fn follow(&mut self) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let there = fs::symlink_metadata(&self.path);
        let same = there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
        if same {
            // Somebody may have emptied it.
            self.written = ours.len();
            return Ok(());
        }
        self.file = open(&self.path)?;
        self.written = self.file.metadata()?.len();
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        if self.files == 0 {
            self.file.set_len(0)?;
            self.written = 0;
            return Ok(());
        }
        for number in (1..self.files).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))?;
        self.file = open(&self.path)?;
        self.written = self.file.metadata()?.len();
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A directory that is gone with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path =
                std::env::temp_dir().join(format!("reset-monitor-log-{}-{number}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.0.join(name)).ok()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn full_files_move_on_the_oldest_goes_and_no_line_is_torn() {
        let scratch = Scratch::new();
        let path = scratch.0.join("log");
        let mut file = EventFile::open(&path, 20, 2).unwrap();
        for number in 0..9 {
            file.append(format!("line {number}\n").as_bytes()).unwrap();
        }
        // Two lines of seven bytes fit into twenty.
        let read = |name| scratch.read(name);
        assert_eq!(read("log").unwrap(), "line 8\n");
        assert_eq!(read("log.1").unwrap(), "line 6\nline 7\n");
        assert_eq!(read("log.2").unwrap(), "line 4\nline 5\n");
        assert_eq!(read("log.3"), None);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        // A restart goes on where it was.
        let mut file = EventFile::open(&path, 20, 2).unwrap();
        file.append(b"line 9\n").unwrap();
        assert_eq!(read("log").unwrap(), "line 8\nline 9\n");
        // One entry that is larger than a file is written all the same.
        file.append(&[b'x'; 50]).unwrap();
        assert_eq!(read("log").unwrap().len(), 50);
    }

    #[test]
    fn without_others_it_begins_anew() {
        let scratch = Scratch::new();
        let mut file = EventFile::open(&scratch.0.join("log"), 10, 0).unwrap();
        for line in [b"first\n", b"secon\n"] {
            file.append(line).unwrap();
        }
        assert_eq!(scratch.read("log").unwrap(), "secon\n");
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
    }

    #[test]
    fn who_moves_or_empties_it_is_followed() {
        let scratch = Scratch::new();
        let path = scratch.0.join("log");
        let mut file = EventFile::open(&path, 1_000, 2).unwrap();
        file.append(b"one\n").unwrap();
        fs::rename(&path, scratch.0.join("moved")).unwrap();
        file.append(b"two\n").unwrap();
        assert_eq!(
            (scratch.read("moved").unwrap(), scratch.read("log").unwrap()),
            ("one\n".into(), "two\n".into())
        );
        fs::write(&path, "").unwrap();
        file.append(b"three\n").unwrap();
        assert_eq!(scratch.read("log").unwrap(), "three\n");
    }

    #[test]
    fn links_pipes_and_directories_are_refused() {
        let scratch = Scratch::new();
        let (link, pipe) = (scratch.0.join("link"), scratch.0.join("pipe"));
        symlink(scratch.0.join("elsewhere"), &link).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        for path in [&link, &pipe, &scratch.0] {
            assert!(EventFile::open(path, 10, 0).is_err(), "{}", path.display());
        }
        assert_eq!(scratch.read("elsewhere"), None);
    }
}
