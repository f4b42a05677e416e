//! What this kernel and this process are: the only I/O before the programs are loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use caps::{CapSet, Capability};

use monitor_common::names::function;

use super::btf::Btf;
use super::listening::ConntrackReading;
use super::proc_net;
use super::sock_diag::SockDiag;
use crate::clock;

/// Where the running kernel describes itself.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Facts that the plan is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `uname -r`. For people only: nothing is decided by it.
    pub release: String,
    /// CPUs that may ever come up; sizes the per-CPU totals.
    pub cpus: u32,
    /// Capabilities that loading needs and this process lacks, by their usual names.
    pub missing_capabilities: Vec<&'static str>,
    /// Arguments of `tcp_send_reset`, `None` when BTF does not have the tracepoint.
    pub send_reset_arguments: Option<usize>,
    /// Whether BTF has `tcp_receive_reset`.
    pub has_receive_reset: bool,
    /// Whether BTF has `inet_sock_set_state`.
    pub has_set_state: bool,
    /// Functions of [`function::ALL`] that the kernel's own BTF has, with the number of their arguments. A function in a module is
    /// not among them.
    pub functions: BTreeMap<&'static str, usize>,
    /// Modules of [`MODULES`] that are loaded.
    pub modules: BTreeSet<&'static str>,
    /// Jiffies per second.
    pub hz: u32,
    /// Values and names of the running kernel's `enum sk_rst_reason`; empty before 6.10.
    pub reset_reasons: Vec<(u32, String)>,
    /// Whether `TcpExt: ListenOverflows` can be read.
    pub counts_overflows: bool,
    /// Why listening sockets cannot be listed; `None` when they can.
    pub sock_diag_refusal: Option<String>,
    /// What can be read of connection tracking now.
    pub conntrack: ConntrackFacts,
}

/// Modules that functions of ours may be in.
pub const MODULES: [&str; 3] = ["nf_reject_ipv4", "nf_reject_ipv6", "nf_conntrack"];

/// Whether a module is loaded, or one of its name is built in.
pub fn is_loaded(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists()
}

/// What can be read of connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConntrackFacts {
    /// Nothing: it is not in use.
    Absent,
    /// How full the table is.
    Entries,
    /// Also what was dropped.
    Drops,
}

/// The kernel's BTF cannot be read. Its source says why; the remedy does not depend on it.
#[derive(Debug, thiserror::Error)]
#[error(
    "read {KERNEL_BTF} (reset-monitor needs Linux 5.10 or newer with CONFIG_DEBUG_INFO_BTF=y, and /sys mounted)"
)]
pub struct ReadBtfError {
    /// What the system said.
    source: io::Error,
}

/// Reads the running kernel's BTF.
pub fn read_btf() -> Result<Vec<u8>, ReadBtfError> {
    std::fs::read(Path::new(KERNEL_BTF)).map_err(|source| ReadBtfError { source })
}

impl Facts {
    /// Reads the facts.
    pub fn gather(btf: &Btf<'_>) -> io::Result<Self> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let cpus = aya::util::nr_cpus().map_err(|(_path, error)| error)?;
        Ok(Self {
            release,
            cpus: u32::try_from(cpus).map_err(io::Error::other)?,
            missing_capabilities: missing_capabilities()?,
            send_reset_arguments: btf.tracepoint_arguments("tcp_send_reset"),
            has_receive_reset: btf.tracepoint_arguments("tcp_receive_reset").is_some(),
            has_set_state: btf.tracepoint_arguments("inet_sock_set_state").is_some(),
            functions: function::ALL
                .iter()
                .filter_map(|pair| Some((pair.function, btf.function_parameters(pair.function)?)))
                .collect(),
            modules: MODULES.into_iter().filter(|module| is_loaded(module)).collect(),
            hz: clock::hz(),
            reset_reasons: reset_reasons(btf),
            counts_overflows: counts_overflows(),
            sock_diag_refusal: SockDiag::open()
                .and_then(|mut diag| diag.listeners())
                .err()
                .map(|error| error.to_string()),
            conntrack: conntrack(),
        })
    }

    /// Whether the tracepoint `tcp_send_reset` tells of each reset that is sent: from 6.10 on, when it also got a reason.
    pub fn send_reset_tells_all(&self) -> bool {
        self.send_reset_arguments.is_some_and(|arguments| arguments >= 3)
    }

    /// Whether `tcp_reset()` is handed the segment: from 5.11 on.
    pub fn reset_has_segment(&self) -> bool {
        self.functions.get(function::RESET.function).is_some_and(|arguments| *arguments >= 2)
    }
}

/// `CAP_BPF` and `CAP_PERFMON` since 5.8; `CAP_SYS_ADMIN` stands for both.
fn missing_capabilities() -> io::Result<Vec<&'static str>> {
    let held = caps::read(None, CapSet::Effective).map_err(io::Error::other)?;
    if held.contains(&Capability::CAP_SYS_ADMIN) {
        return Ok(Vec::new());
    }
    let needed = [(Capability::CAP_BPF, "CAP_BPF"), (Capability::CAP_PERFMON, "CAP_PERFMON")];
    Ok(needed
        .into_iter()
        .filter(|(capability, _)| !held.contains(capability))
        .map(|(_, name)| name)
        .collect())
}

fn counts_overflows() -> bool {
    let text = std::fs::read_to_string("/proc/self/net/netstat").unwrap_or_default();
    matches!(proc_net::counters(&text, "TcpExt:", ["ListenOverflows"]), [Some(_)])
}

fn conntrack() -> ConntrackFacts {
    let ConntrackReading { entries, limit: _, drops } = ConntrackReading::now();
    match (entries, drops) {
        (None, _) => ConntrackFacts::Absent,
        (Some(_), None) => ConntrackFacts::Entries,
        (Some(_), Some(_)) => ConntrackFacts::Drops,
    }
}

/// Names without their common prefix, as users know them: `TCP_STATE`, `ABORT_ON_CLOSE`, ...
fn reset_reasons(btf: &Btf<'_>) -> Vec<(u32, String)> {
    let prefix = "SK_RST_REASON_";
    btf.enum_values("sk_rst_reason")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, value)| {
            let name = name.strip_prefix(prefix).map(str::to_owned).unwrap_or(name);
            u32::try_from(value).ok().map(|value| (value, name))
        })
        .collect()
}
