//! A network namespace of our own: ports and `TIME_WAIT` of a load stay out of the host's, and go with it.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::panic::resume_unwind;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// Lives as long as its descriptor, so nothing is left behind however the run ends.
#[derive(Debug)]
pub(crate) struct Namespace(File);

impl Namespace {
    /// A new one with loopback up and the widest range of ephemeral ports.
    pub(crate) fn create() -> Result<Self> {
        on_thread(|| {
            leave_for_a_new_one().context("cannot make a network namespace (root is needed)")?;
            let status = Command::new("ip").args(["link", "set", "lo", "up"]).status();
            ensure!(
                status.context("cannot run `ip` (package iproute2)")?.success(),
                "`ip link set lo up` failed"
            );
            // /proc/sys/net shows the namespace of whoever looks.
            std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "10240 65535")
                .context("cannot widen the range of ports")?;
            let handle =
                File::open("/proc/thread-self/ns/net").context("cannot open this thread's namespace")?;
            Ok(Self(handle))
        })
    }

    /// Moves the calling thread into it, for good.
    pub(crate) fn join(&self) -> Result<()> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .context("cannot enter the network namespace")
    }

    /// Runs `body` on a thread in this namespace.
    pub(crate) fn enter<T: Send>(&self, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_thread(|| {
            self.join()?;
            body()
        })
    }

    /// Its inode number, as the daemon names it.
    pub(crate) fn inum(&self) -> Result<u64> {
        Ok(self.0.metadata()?.ino())
    }

    /// A path by which another process of this machine can name it.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

fn on_thread<T: Send>(body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(body).join().unwrap_or_else(|panic| resume_unwind(panic)))
}

#[expect(
    deprecated,
    reason = "its unsafe successor differs only for the file table, which is not touched here"
)]
fn leave_for_a_new_one() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWNET)
}
