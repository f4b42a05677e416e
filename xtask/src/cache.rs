//! The directory where everything fetched lives, so that a second run finds it.
//!
//! Nothing half-done is ever visible under its final name: an installation grows in a directory beside and is
//! renamed when complete. One lock per cache serialises installers; readers need none.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::process::note;

/// A cache directory that exists.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// Opens `$RESET_MONITOR_CACHE`, `$XDG_CACHE_HOME/reset-monitor` or `~/.cache/reset-monitor`.
    pub(crate) fn open() -> Result<Self> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let directory = set("RESET_MONITOR_CACHE")
            .or_else(|| Some(set("XDG_CACHE_HOME")?.join("reset-monitor")))
            .or_else(|| Some(set("HOME")?.join(".cache/reset-monitor")))
            .context("no place for a cache: set RESET_MONITOR_CACHE to a directory")?;
        Self::at(&directory)
    }

    fn at(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        // Absolute, because children run in other directories.
        let directory =
            directory.canonicalize().with_context(|| format!("cannot resolve {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// The path of a complete installation of that name, if there is one.
    pub(crate) fn installed(&self, name: &str) -> Option<PathBuf> {
        Some(self.directory.join(name)).filter(|path| path.is_dir())
    }

    /// The complete installation with the highest name that starts so.
    pub(crate) fn newest(&self, prefix: &str) -> Option<PathBuf> {
        let entries = fs::read_dir(&self.directory).ok()?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.starts_with(prefix)).max().and_then(|name| self.installed(&name))
    }

    /// Waits until no other process installs anything here. Dropping the file lets the next one in.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.directory.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                note("another setup is at work in the cache; waiting for it");
                file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(file)
    }

    /// Fills a fresh directory and then gives it its name. Call it with the lock held.
    pub(crate) fn install(&self, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let growing = self.directory.join(format!("growing-{name}"));
        remove(&growing)?;
        fs::create_dir(&growing).with_context(|| format!("cannot create {}", growing.display()))?;
        if let Err(error) = fill(&growing) {
            remove(&growing)?;
            return Err(error);
        }
        let path = self.directory.join(name);
        remove(&path)?;
        fs::rename(&growing, &path)
            .with_context(|| format!("cannot rename {} to {}", growing.display(), path.display()))?;
        Ok(path)
    }

    /// Runs something with a directory that is gone afterwards. Call it with the lock held.
    pub(crate) fn scratch<T>(&self, name: &str, work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let directory = self.directory.join(format!("growing-{name}"));
        remove(&directory)?;
        fs::create_dir(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let result = work(&directory);
        remove(&directory)?;
        result
    }
}

/// Removes a directory, if it is there, with all it holds.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(test: &str) -> Cache {
        let directory = env::temp_dir().join(format!("xtask-{test}-{}", std::process::id()));
        remove(&directory).unwrap();
        Cache::at(&directory).unwrap()
    }

    #[test]
    fn a_failed_installation_leaves_nothing() {
        let cache = cache("failed");
        let lock = cache.lock().unwrap();
        let failed = cache.install("thing-1", |growing| {
            fs::write(growing.join("part"), "").unwrap();
            anyhow::bail!("interrupted")
        });
        assert!(failed.is_err());
        assert!(cache.newest("thing-").is_none());
        drop(lock);
        remove(&cache.directory).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_is_replaced() {
        let cache = cache("killed");
        fs::create_dir(cache.directory.join("growing-thing-1")).unwrap();
        fs::write(cache.directory.join("growing-thing-1/part"), "").unwrap();
        assert!(cache.newest("thing-").is_none());
        let path = cache.install("thing-1", |growing| Ok(fs::write(growing.join("whole"), "")?)).unwrap();
        assert_eq!(cache.newest("thing-"), Some(path.clone()));
        assert!(path.join("whole").exists() && !path.join("part").exists());
        remove(&cache.directory).unwrap();
    }
}
