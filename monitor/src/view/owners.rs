//! JSON of who owns a socket, as far as `/proc` and the cgroup file system tell.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::PodView;
use crate::http::schema;

/// The task an event belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Owner")]
pub struct OwnerView {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Task name; hostile input, to be shown as text.
    pub comm: String,
    /// The task was dying when it closed the connection.
    pub exiting: bool,
    /// Number of the signal it was dying of; `null` without one.
    pub exit_signal: Option<u8>,
    /// That signal came from the kernel's OOM killer, of the machine or of a cgroup with a memory limit.
    pub oom_killed: bool,
}

/// The process that owns a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Process")]
pub struct ProcessView {
    /// Process id.
    pub pid: u32,
    /// Name of the process, of `hook` possibly of the thread; hostile input, to be shown as text.
    pub comm: String,
    /// When it started: RFC 3339 in UTC, to a hundredth of a second. `null` until it was looked up, and for one that had ended by then.
    #[schemars(extend("format" = "date-time"))]
    pub started: Option<String>,
    /// How it is known: `hook` (it closed the connection, see `owner`), `file` (it had the socket open when it was looked up, the
    /// first that was found) or `only_process_of_cgroup` (it was then the only one in the socket's cgroup).
    #[schemars(extend("enum" = schema::ways()))]
    pub by: String,
}

/// A cgroup, and what its path says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Cgroup")]
pub struct CgroupView {
    /// Path in the hierarchy; hostile input, to be shown as text.
    pub path: String,
    /// Id of the innermost container, 64 hexadecimal digits; `null` outside of those that are known by their path.
    pub container_id: Option<String>,
    /// Uid of the Kubernetes pod; `null` outside of pods.
    pub pod_uid: Option<String>,
    /// That pod, as the cluster calls it; `null` where names are not asked for, and for pods that are not known.
    pub pod: Option<PodView>,
    /// systemd unit, of a container with systemd in it the inner one; `null` without one.
    pub unit: Option<String>,
}

/// A network namespace in which peers were seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PeerNamespace")]
pub struct PeerNamespaceView {
    /// Inode number.
    pub netns: u32,
    /// What it belongs to: of a pod or a container what all of it is in, else the cgroup of a process in it; `null` where nobody is known
    /// in it.
    pub cgroup: Option<CgroupView>,
}

/// What is known of owners, and what was not looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Owners")]
pub struct OwnersView {
    /// Events about whose sockets something was looked up.
    pub answers: u64,
    /// How many are kept.
    pub capacity: u64,
    /// Events whose socket was not looked up, or not everywhere, because too many waited.
    pub not_asked: u64,
}
