//! The shipped unit under a real systemd, which has namespaces and a root directory of its own, and goes with the trial.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use caps::Capability;

use crate::api::Api;
use crate::cgroups::Delegated;
use crate::daemon::{Scratch, Watched};
use crate::event_log::{finals, make_resets};
use crate::needs::Need;
use crate::{WithNeed, capabilities, helper, machine, wait};

pub(crate) const TRIALS: &[WithNeed] = &[(
    "a real systemd starts the shipped unit, hears that it is ready and alive, and starts it again",
    Need::Systemd,
    under_systemd,
)];

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/systemd/reset-monitor.service");
const NAME: &str = "reset-monitor.service";
const BOOT: &str = include_str!("systemd/boot.sh");
/// Enters the cgroup that its first argument names, and becomes the first process of new namespaces that boots.
const ENTER: &str = "echo $$ >\"$1/cgroup.procs\"; shift
    exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc sh -ec \"$@\"";

/// Ten times the figure of the unit's README.
const MOST_EXPOSED: &str = "--threshold=24";
/// What the unit lets it have.
const ALLOWED: [Capability; 3] = [Capability::CAP_BPF, Capability::CAP_PERFMON, Capability::CAP_SYS_PTRACE];

/// A running systemd.
struct Systemd {
    unshare: Watched,
    first: String,
    // After the processes in it.
    _cgroup: Delegated,
    _scratch: Scratch,
}

impl Systemd {
    fn boot() -> Result<Self> {
        let (scratch, cgroup) = (Scratch::create()?, Delegated::create()?);
        let mut command = helper::dying_with_parent("sh")?;
        command.args(["-ec", ENTER, "sh"]).arg(cgroup.directory()).args([BOOT, "sh"]);
        command.args([&scratch.file("")?, machine::daemon(), UNIT]);
        let mut unshare = Watched::spawn(&mut command)?;
        let first = wait::until("systemd", || {
            if let Some(code) = unshare.ended()? {
                anyhow::bail!("it ended ({code:?}):\n{}", unshare.stderr().join("\n"));
            }
            let pid = unshare.pid();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            let first = children.split_whitespace().next().unwrap_or_default().to_owned();
            let is_there = Path::new("/proc").join(&first).join("root/run/systemd/private").exists();
            Ok(if !first.is_empty() && is_there { Ok(first) } else { Err(unshare.stderr().join("\n")) })
        })?;
        Ok(Self { unshare, first, _cgroup: cgroup, _scratch: scratch })
    }

    /// Runs a command beside it.
    fn run(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--mount", "--pid", "--root", "--wd"]).args(words);
        let output = command.output().context("cannot run `nsenter` (package util-linux)")?;
        ensure!(
            output.status.success(),
            "{words:?}: {}{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.unshare.stderr().join("\n")
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// What it says of the unit.
    fn property(&self, name: &str) -> Result<String> {
        self.run(&["systemctl", "show", "--value", "--property", name, NAME])
    }

    /// Where the daemon listens, as it told systemd when it was ready.
    fn api(&self) -> Result<Api> {
        let text = self.property("StatusText")?;
        let address: SocketAddr =
            text.strip_prefix("http://").with_context(|| format!("the status is {text:?}"))?.parse()?;
        Api::at(address)
    }

    /// How many filters of system calls a process has.
    fn filters(&self, process: &str) -> Result<u32> {
        let status = self.run(&["cat", &format!("/proc/{process}/status")])?;
        Ok(capabilities::field(&status, "Seccomp_filters")?.parse()?)
    }

    /// Waits until another process runs than the one with this number, and is ready.
    fn until_again(&self, before: &str, restarts: u32) -> Result<String> {
        wait::until("the daemon to be started again", || {
            let (process, state) = (self.property("MainPID")?, self.property("SubState")?);
            let counted: u32 = self.property("NRestarts")?.parse()?;
            let is_again = counted >= restarts && process != before && process != "0" && state == "running";
            Ok(if is_again { Ok(process) } else { Err(format!("{state}, started {counted} times again")) })
        })
    }
}

fn under_systemd() -> Result<()> {
    let systemd = Systemd::boot()?;
    let unit = format!("/run/systemd/system/{NAME}");
    systemd.run(&["systemd-analyze", "verify", "--man=no", &unit])?;
    systemd.run(&["systemd-analyze", "security", "--offline=true", MOST_EXPOSED, &unit])?;
    // Returns when the daemon has said that it is ready, so it answers at once.
    systemd.run(&["systemctl", "start", NAME])?;
    let first = systemd.property("MainPID")?;
    let api = systemd.api()?;
    ensure!(api.get("/readyz", "*/*").is_ok(), "it said that it was ready");
    is_confined(&systemd.run(&["cat", &format!("/proc/{first}/status")])?)?;
    sees_as_much_as_root(&api)?;
    let port = make_resets(3)?;
    finals(&api, port, 3)?;

    let confined = systemd.filters(&first)?;
    systemd.run(&["sh", "-c", "echo RESET_MONITOR_CONFINE=false >>/etc/default/reset-monitor"])?;
    systemd.run(&["systemctl", "kill", "--signal=KILL", NAME])?;
    let second = systemd.until_again(&first, 1)?;
    let by_unit = systemd.filters(&second)?;
    ensure!(
        confined > by_unit,
        "the unit does not let it confine itself: {confined} filters, {by_unit} without"
    );
    ensure!(systemd.api()?.get("/readyz", "*/*").is_ok(), "it said that it was ready");
    // One that does nothing any more, and so does not say that it is alive.
    systemd.run(&["systemctl", "kill", "--signal=STOP", NAME])?;
    systemd.until_again(&second, 2)?;

    systemd.run(&["systemctl", "stop", NAME])?;
    let (result, status) = (systemd.property("Result")?, systemd.property("ExecMainStatus")?);
    ensure!((result.as_str(), status.as_str()) == ("success", "0"), "it ended with {result}, {status}");
    Ok(())
}

/// `/proc/PID/status` of a daemon that runs as the unit says.
fn is_confined(status: &str) -> Result<()> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {name} in {status}"))
    };
    ensure!(field("Uid")? != "0", "it runs as root");
    ensure!(field("NoNewPrivs")? == "1" && field("Seccomp")? == "2", "{status}");
    let allowed = ALLOWED.iter().fold(0, |sum, capability| sum | capability.bitmask());
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        let held = u64::from_str_radix(field(set)?, 16)?;
        ensure!(held & !allowed == 0, "{set} has more than the unit allows: {held:x}");
    }
    Ok(())
}

/// What root sees by tracepoints, it sees, too.
fn sees_as_much_as_root(api: &Api) -> Result<()> {
    let output = Command::new(machine::daemon()).args(["check", "-o", "json"]).output()?;
    let root: monitor::view::check::CheckView = serde_json::from_slice(&output.stdout)?;
    let here = api.signals()?.signals;
    let by_tracepoints = root.served.signals.iter().filter(|row| row.hook.starts_with("raw_tracepoint"));
    let mut some = false;
    for row in by_tracepoints {
        some = true;
        let same = here.iter().find(|one| one.signal == row.signal).context("a signal is gone")?;
        ensure!((&same.status, &same.hook) == (&row.status, &row.hook), "{same:?}, for root {row:?}");
    }
    ensure!(some, "root sees nothing by tracepoints: {root:?}");
    Ok(())
}
