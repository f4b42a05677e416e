//! Probes of functions in modules that are not loaded yet.
//!
//! Opening a probe fails while its function is not there, and later the kernel may refuse it: Debian's ask for `CAP_SYS_ADMIN` where
//! `kernel.perf_event_paranoid` is above 2, and that is given up after the start. A probe of tracefs may name a module that is still
//! to come, and the kernel puts it in whenever the module is loaded (kernel: `kernel/trace/trace_kprobe.c`
//! `trace_kprobe_module_callback`, 5.10 to 7.2). So it is defined and opened at the start, and nothing is needed for it later.
#![expect(unsafe_code, reason = "perf_event_open has no safe form; each block says why it holds")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;

use rustix::ioctl::{IntegerSetter, ioctl, opcode};

use super::hook::{FunctionHook, Moment};

/// Where tracefs may be mounted.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// The file that defines probes.
const DEFINITIONS: &str = "kprobe_events";
/// What the names of ours begin with; the process's number follows.
const OURS: &str = "reset_monitor/pid";

/// kernel: `include/uapi/linux/perf_event.h` `PERF_TYPE_TRACEPOINT`, `PERF_ATTR_SIZE_VER0`, `PERF_FLAG_FD_CLOEXEC`.
const TYPE_TRACEPOINT: u64 = 2;
const ATTRIBUTES_BYTES: u64 = 64;
const ATTRIBUTES_WORDS: usize = 8;
const CLOSE_ON_EXEC: libc::c_ulong = 8;
/// kernel: `PERF_EVENT_IOC_SET_BPF`.
const SET_PROGRAM: rustix::ioctl::Opcode = opcode::write::<u32>(b'$', 8);

/// A probe with its program. Taken back when this is dropped; if the process is killed, its definition is left, without effect, for the
/// next start to take back.
#[derive(Debug)]
pub(super) struct LateProbe {
    /// Which program.
    pub(super) program: &'static str,
    name: String,
    /// Open, since no file may be opened to write any more when this is dropped (`confinement.rs`).
    definitions: File,
    /// Closed before the definition goes, which is in use until then.
    event: Option<OwnedFd>,
}

impl LateProbe {
    /// At a function of a module that need not be there.
    pub(super) fn open(function: &FunctionHook, module: &str, program: BorrowedFd<'_>) -> io::Result<Self> {
        let tracefs = TRACEFS.into_iter().map(Path::new).find(|place| place.join(DEFINITIONS).exists());
        let tracefs = tracefs.ok_or(io::ErrorKind::NotFound)?;
        let definitions = tracefs.join(DEFINITIONS);
        take_back_of_others(&definitions);
        let name = format!("{OURS}{}_{}", std::process::id(), function.pair.function);
        let mut definitions = open(&definitions)?;
        // In a container another process may have had the same number before.
        drop(define(&mut definitions, &format!("-:{name}")));
        let kind = match function.moment {
            Moment::Entry => 'p',
            Moment::Return => 'r',
        };
        define(&mut definitions, &format!("{kind}:{name} {module}:{}", function.pair.function))?;
        let mut probe = Self { program: function.program(), name, definitions, event: None };
        let id = fs::read_to_string(tracefs.join("events").join(&probe.name).join("id"))?;
        let event = open_event(id.trim().parse().map_err(io::Error::other)?)?;
        set_program(&event, program.as_raw_fd())?;
        probe.event = Some(event);
        Ok(probe)
    }
}

impl Drop for LateProbe {
    fn drop(&mut self) {
        drop(self.event.take());
        if let Err(error) = define(&mut self.definitions, &format!("-:{}", self.name)) {
            tracing::debug!(probe = self.name, %error, "its definition stays until the next start");
        }
    }
}

fn open(definitions: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(definitions)
}

/// With one call for each definition.
fn define(definitions: &mut File, definition: &str) -> io::Result<()> {
    definitions.write_all(definition.as_bytes())
}

/// Takes back what processes of ours left that were killed.
fn take_back_of_others(definitions: &Path) {
    for name in left(&fs::read_to_string(definitions).unwrap_or_default(), is_running) {
        // One that is in use is refused, and rightly.
        drop(open(definitions).and_then(|mut definitions| define(&mut definitions, &format!("-:{name}"))));
    }
}

fn is_running(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Names of ours, of processes that are gone: a line has `p:GROUP/EVENT PLACE`.
fn left(definitions: &str, is_running: impl Fn(u32) -> bool) -> Vec<&str> {
    let name =
        |line| -> Option<&str> { str::split_whitespace(line).next()?.split_once(':').map(|(_, name)| name) };
    let pid = |name: &str| name.strip_prefix(OURS)?.split_once('_')?.0.parse().ok();
    definitions
        .lines()
        .filter_map(name)
        .filter(|name| pid(name).is_some_and(|pid| !is_running(pid)))
        .collect()
}

/// Opens the trace event with this number for every process. One processor is as good as all: programs run wherever it happens.
fn open_event(id: u64) -> io::Result<OwnedFd> {
    let attributes: [u64; ATTRIBUTES_WORDS] =
        [TYPE_TRACEPOINT | ATTRIBUTES_BYTES << 32, id, 0, 0, 0, 0, 0, 0];
    // SAFETY: the kernel reads as many bytes as the attributes say, which is all of them.
    let event =
        unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), -1, 0, -1, CLOSE_ON_EXEC) };
    let event = RawFd::try_from(event).map_err(io::Error::other)?;
    if event < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(event) })
}

fn set_program(event: &OwnedFd, program: RawFd) -> io::Result<()> {
    let program = usize::try_from(program).map_err(io::Error::other)?;
    // SAFETY: this opcode takes a number.
    let request = unsafe { IntegerSetter::<SET_PROGRAM>::new_usize(program) };
    // SAFETY: the number is a program's, which the kernel checks.
    Ok(unsafe { ioctl(event, request) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_probes_of_our_own_that_nobody_has_are_taken_back() {
        let definitions = "p:reset_monitor/pid7_nf_send_reset nf_reject_ipv4:nf_send_reset\n\
                           r8:reset_monitor/pid8_early_drop nf_conntrack:early_drop\n\
                           p:reset_monitor/pidx_early_drop nf_conntrack:early_drop\n\
                           p:kprobes/pid7_nf_send_reset nf_send_reset\n\nrubbish\n";
        assert_eq!(left(definitions, |pid| pid == 7), ["reset_monitor/pid8_early_drop"]);
        assert_eq!(left(definitions, |_| true), [""; 0]);
    }
}
