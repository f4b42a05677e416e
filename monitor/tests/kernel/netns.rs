//! Network namespaces of our own. They live as long as a file descriptor holds them, so nothing is left behind.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::wait;

/// Addresses every namespace of ours has on its loopback device, besides 127.0.0.0/8 and `::1`.
pub(crate) const EXTRA_V6: [&str; 2] = ["fd00::a", "fd00::b"];

/// A network namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    handle: File,
    /// Its inode number, as the daemon names it.
    pub(crate) inum: u32,
    /// Dropped with it, for who keeps the number from being given to another one at once.
    _held: Option<Sender<()>>,
}

/// How long a number is not given out again: received resets are held for a second, and counted at the beat after it.
const NUMBER_RESTS: Duration = Duration::from_secs(3);

impl Namespace {
    /// The calling thread's.
    pub(crate) fn current() -> Result<Self> {
        Self::at("/proc/thread-self/ns/net")
    }

    /// The calling thread's, kept for a while after this is dropped by a thread in it: what the daemon counts late must not be
    /// counted for the next trial's namespace.
    fn current_and_after() -> Result<Self> {
        let (held, dropped) = channel::<()>();
        thread::Builder::new().name("netns".to_owned()).spawn(move || {
            // Nothing is ever sent, so this ends when the other half is gone.
            while dropped.recv().is_ok() {}
            wait::quiet_for(NUMBER_RESTS);
        })?;
        Ok(Self { _held: Some(held), ..Self::current()? })
    }

    /// A new one: loopback up, with [`EXTRA_V6`].
    pub(crate) fn create() -> Result<Self> {
        on_thread(|| {
            leave_for_a_new_one().context("cannot make a network namespace (root is needed)")?;
            // In one go: on an emulated processor the start of a program is what takes time.
            let addresses = EXTRA_V6.map(|address| format!("addr add {address}/128 dev lo nodad\n"));
            ip(&format!("link set lo up\n{}", addresses.concat()))?;
            EXTRA_V6.into_iter().try_for_each(until_local)?;
            Self::current_and_after()
        })
    }

    /// That of the machine's first process, where limits are set that hold everywhere.
    pub(crate) fn first() -> Result<Self> {
        Self::at("/proc/1/ns/net")
    }

    fn at(path: &str) -> Result<Self> {
        let handle = File::open(path).with_context(|| format!("cannot open {path}"))?;
        let inum = u32::try_from(handle.metadata()?.ino())?;
        Ok(Self { handle, inum, _held: None })
    }

    /// Runs `body` on a thread in this namespace. What it spawns is in the namespace too.
    pub(crate) fn enter<T: Send>(&self, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_thread(|| {
            move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))
                .context("cannot enter the network namespace")?;
            body()
        })
    }

    /// A path by which any process of ours can name the namespace.
    pub(crate) fn path(&self) -> String {
        // By the thread: each trial has open files of its own.
        let thread = rustix::thread::gettid().as_raw_nonzero();
        format!("/proc/{}/task/{thread}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }
}

/// Runs `body` on a thread of its own and hands its panic on.
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

/// Runs a trial on a thread with a table of open files of its own, which the threads it starts share.
///
/// Otherwise a process that another trial starts would hold this one's sockets from its fork to its exec: they would close
/// later than the trial says, and in the name of that process.
pub(crate) fn with_own_files<T: Send>(body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_thread(|| {
        leave_the_shared_files().context("cannot make a table of open files")?;
        body()
    })
}

#[expect(
    deprecated,
    reason = "its unsafe successor asks that no open file passes between the tables, and trials hand none out"
)]
fn leave_the_shared_files() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::FILES)
}

/// Runs lines of `ip` commands in the calling thread's namespace.
pub(crate) fn ip(commands: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `ip` (package iproute2)")?;
    child.stdin.take().context("no stdin")?.write_all(commands.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "`ip` failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The kernel makes the local route of an IPv6 address in its own time; waits until it is there.
fn until_local(address: &str) -> Result<()> {
    const LOCAL: u32 = 0x8000_0000;
    const FLAGS: usize = 8;
    let bits = format!("{:032x}", address.parse::<Ipv6Addr>()?.to_bits());
    wait::until_true("the local route of an IPv6 address", || {
        let routes = fs::read_to_string("/proc/thread-self/net/ipv6_route")?;
        let mut routes = routes.lines().filter(|route| route.starts_with(&bits));
        let is_local = |flags| u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & LOCAL != 0);
        Ok(routes.any(|route| route.split_whitespace().nth(FLAGS).is_some_and(is_local)))
    })
}

/// Sets a sysctl of the calling thread's namespace, named by its path under `/proc/sys/net`.
pub(crate) fn sysctl(name: &str, value: &str) -> Result<()> {
    fs::write(format!("/proc/sys/net/{name}"), value).with_context(|| format!("cannot set net/{name}"))
}

/// Two namespaces joined by a veth pair with IPv4 and IPv6 addresses.
#[derive(Debug)]
pub(crate) struct Joined {
    /// Has [`Joined::ADDRESSES`]`[0]`.
    pub(crate) one: Namespace,
    /// Has [`Joined::ADDRESSES`]`[1]`.
    pub(crate) two: Namespace,
}

impl Joined {
    /// Each side's IPv4 and IPv6 address.
    pub(crate) const ADDRESSES: [[&str; 2]; 2] = [["10.77.0.1", "fd77::1"], ["10.77.0.2", "fd77::2"]];
    /// Each side's link-layer address.
    pub(crate) const LINKS: [&str; 2] = ["02:00:00:00:77:01", "02:00:00:00:77:02"];
    /// The interface's name on both sides.
    pub(crate) const INTERFACE: &str = "joined";

    /// Makes and joins them.
    pub(crate) fn create() -> Result<Self> {
        let (one, two) = (Namespace::create()?, Namespace::create()?);
        let name = Self::INTERFACE;
        let [link_one, link_two] = Self::LINKS;
        let other = two.path();
        one.enter(|| {
            ip(&format!(
                "link add {name} address {link_one} type veth peer name {name} address {link_two} netns {other}\n"
            ))
        })?;
        for (side, [v4, v6]) in [&one, &two].into_iter().zip(Self::ADDRESSES) {
            side.enter(|| {
                ip(&format!(
                    "addr add {v4}/24 dev {name}\naddr add {v6}/64 dev {name} nodad\nlink set {name} up\n"
                ))
            })?;
        }
        let [[_, v6_one], [_, v6_two]] = Self::ADDRESSES;
        one.enter(|| until_local(v6_one))?;
        two.enter(|| until_local(v6_two))?;
        Ok(Self { one, two })
    }

    /// Sets, on both sides, the link-layer address that the other side's IPv4 address is thought to have.
    pub(crate) fn believe(&self, links: [&str; 2]) -> Result<()> {
        let name = Self::INTERFACE;
        let [[address_one, _], [address_two, _]] = Self::ADDRESSES;
        let [link_one, link_two] = links;
        for (side, address, link) in [(&self.one, address_two, link_two), (&self.two, address_one, link_one)]
        {
            side.enter(|| ip(&format!("neigh replace {address} lladdr {link} dev {name} nud permanent\n")))?;
        }
        Ok(())
    }
}

/// A client and a server with a router between them.
#[derive(Debug)]
pub(crate) struct Routed {
    /// Has [`Routed::CLIENT`].
    pub(crate) client: Namespace,
    /// Forwards, and so lowers TTLs by one.
    pub(crate) router: Namespace,
    /// Has [`Routed::SERVER`].
    pub(crate) server: Namespace,
}

impl Routed {
    /// The client's IPv4 and IPv6 address.
    pub(crate) const CLIENT: [&str; 2] = ["10.77.0.1", "fd77::1:1"];
    /// The server's.
    pub(crate) const SERVER: [&str; 2] = ["10.77.0.129", "fd77::2:1"];
    /// The router's towards each of them.
    const ROUTER: [[&str; 2]; 2] = [["10.77.0.2", "fd77::1:2"], ["10.77.0.130", "fd77::2:2"]];
    /// The two networks.
    const NETWORKS: [[&str; 2]; 2] = [["10.77.0.0/25", "fd77::1:0/112"], ["10.77.0.128/25", "fd77::2:0/112"]];

    /// Makes and joins them.
    pub(crate) fn create() -> Result<Self> {
        let routed =
            Self { client: Namespace::create()?, router: Namespace::create()?, server: Namespace::create()? };
        let [near, far] = Self::NETWORKS;
        routed.attach(&routed.client, "client", [Self::CLIENT, Self::ROUTER[0]], far)?;
        routed.attach(&routed.server, "server", [Self::SERVER, Self::ROUTER[1]], near)?;
        routed.router.enter(|| {
            sysctl("ipv4/ip_forward", "1")?;
            sysctl("ipv6/conf/all/forwarding", "1")
        })?;
        Ok(routed)
    }

    /// Joins an end to the router by a cable with this name on both sides, through which it reaches the `other` network.
    fn attach(
        &self,
        end: &Namespace,
        name: &str,
        [ours, routers]: [[&str; 2]; 2],
        other: [&str; 2],
    ) -> Result<()> {
        let path = end.path();
        let addresses = |[v4, v6]: [&str; 2]| {
            format!("addr add {v4}/25 dev {name}\naddr add {v6}/112 dev {name} nodad\nlink set {name} up\n")
        };
        self.router.enter(|| {
            ip(&format!("link add {name} type veth peer name {name} netns {path}\n{}", addresses(routers)))?;
            until_local(routers[1])
        })?;
        end.enter(|| {
            ip(&addresses(ours))?;
            until_local(ours[1])?;
            let mut routes = other.iter().zip(routers);
            routes.try_for_each(|(network, router)| ip(&format!("route add {network} via {router}\n")))
        })
    }
}
