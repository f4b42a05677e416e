//! Visits to other network namespaces, by the calling thread alone.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Why a namespace was not visited.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnterError {
    /// Ours cannot be opened.
    #[error("open our own network namespace: {0}")]
    Home(std::io::Error),
    /// It has no such process any more.
    #[error("open a network namespace: {0}")]
    Gone(std::io::Error),
    /// It may not be entered.
    #[error("enter a network namespace: {0}")]
    Refused(Errno),
    /// The thread stays where it is.
    #[error("return to our own network namespace: {0}")]
    Return(Errno),
}

/// The namespace to come back to. It is ours, so keeping it open keeps nothing alive.
#[derive(Debug)]
pub(super) struct Home(File);

impl Home {
    /// The calling thread's, if it may enter namespaces: entering this one is the proof.
    pub(super) fn here() -> Result<Self, EnterError> {
        let home = Self(File::open("/proc/thread-self/ns/net").map_err(EnterError::Home)?);
        enter(&home.0).map_err(EnterError::Refused)?;
        Ok(home)
    }

    /// Does something inside a process's namespace, if that is this one.
    pub(super) fn visit<T>(
        &self,
        netns: u32,
        process: u32,
        inside: impl FnOnce() -> T,
    ) -> Result<T, EnterError> {
        let there = File::open(format!("/proc/{process}/ns/net")).map_err(EnterError::Gone)?;
        let number = there.metadata().map_err(EnterError::Gone)?.ino();
        if number != u64::from(netns) {
            return Err(EnterError::Gone(std::io::ErrorKind::NotFound.into()));
        }
        enter(&there).map_err(EnterError::Refused)?;
        let result = inside();
        enter(&self.0).map_err(EnterError::Return)?;
        Ok(result)
    }
}

fn enter(namespace: &File) -> Result<(), Errno> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
}
