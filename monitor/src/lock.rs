//! One daemon per host: a second one would count everything twice.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Held while the daemon runs. The kernel releases it however the process ends.
#[derive(Debug)]
pub struct InstanceLock {
    path: PathBuf,
    /// Open: the lock is on it.
    _file: File,
}

/// Another daemon is running.
#[derive(Debug, thiserror::Error)]
#[error("start: another reset-monitor is running (process {process}, lock {}); end it first", .path.display())]
pub struct AnotherInstance {
    path: PathBuf,
    process: String,
}

impl InstanceLock {
    /// Takes the lock or says who has it.
    pub fn take(path: &Path) -> anyhow::Result<Self> {
        loop {
            let mut file =
                File::options().read(true).write(true).create(true).truncate(false).open(path).with_context(
                    || format!("open lock file {}: choose another with --lock-file", path.display()),
                )?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut process = String::new();
                    drop(file.read_to_string(&mut process));
                    return Err(AnotherInstance {
                        path: path.to_owned(),
                        process: process.trim().to_owned(),
                    }
                    .into());
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("lock {}", path.display()));
                }
            }
            // The daemon before us removes its file at its end; a lock on a removed file keeps nobody out.
            let same = std::fs::metadata(path).is_ok_and(|now| {
                file.metadata().is_ok_and(|ours| (now.dev(), now.ino()) == (ours.dev(), ours.ino()))
            });
            if same {
                write_process(&mut file).with_context(|| format!("write lock file {}", path.display()))?;
                return Ok(Self { path: path.to_owned(), _file: file });
            }
        }
    }
}

fn write_process(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

impl Drop for InstanceLock {
    fn drop(&mut self) {
        // If it cannot be removed, an unlocked file stays behind, which keeps nobody out.
        drop(std::fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_has_it_and_can_have_it_afterwards() {
        let path = std::env::temp_dir().join(format!("reset-monitor-lock-{}", std::process::id()));
        let first = InstanceLock::take(&path).unwrap();
        let refusal = InstanceLock::take(&path).unwrap_err().to_string();
        assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
        drop(first);
        drop(InstanceLock::take(&path).unwrap());
        assert!(!path.exists());
    }
}
