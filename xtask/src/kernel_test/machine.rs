//! One virtual machine: started, listened to, and never left behind.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::verdicts::Verdicts;
use crate::setup::{Emulator, Kernel};

/// A machine that says nothing for so long hangs. The longest trial waits two minutes at a time for something to happen, and
/// says so when it did not.
const SILENCE: Duration = Duration::from_mins(5);
/// How long a silent machine may take to tell what its processors do.
const CONFESSION: Duration = Duration::from_mins(1);
/// One line for the kernel's messages and one for the trials; a panic ends the machine at once, and after an interrupt that nobody
/// knows (`nmi`, below) tells first what every processor does. Not the processor's own clock: on a busy machine its pace is
/// measured wrong at boot, and the trials' seconds are then not the kernel's.
const KERNEL_ARGUMENTS: &str =
    "console=ttyS0 panic=-1 loglevel=5 unknown_nmi_panic panic_print=0x40 tsc=unstable clocksource=hpet";
/// The trials of a full shared daemon need the memory, and so do the lab's programs, which lie in it.
const MACHINE: [&str; 9] =
    ["-nodefaults", "-cpu", "max", "-m", "1280", "-display", "none", "-no-reboot", "-append"];

/// What time is in a machine. All are emulated, since few machines that build this can lend their processor's virtualisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// That of the host. Two processors, so that programs run at the same time.
    Real,
    /// An instruction is a nanosecond, whatever else the host does. One processor.
    Counted,
}

impl Time {
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Real => &["-accel", "tcg,thread=multi", "-smp", "2"],
            Self::Counted => &["-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=0,sleep=off"],
        }
    }
}

/// Files of a machine.
#[derive(Debug)]
pub(super) struct Files {
    /// What it starts with.
    pub(super) initramfs: PathBuf,
    /// What its kernel says.
    pub(super) console: PathBuf,
    /// What its trials say.
    pub(super) said: PathBuf,
    /// Where its emulator takes orders while it runs.
    pub(super) orders: PathBuf,
}

/// Runs a kernel to its end, and listens.
pub(super) fn run(emulator: &Emulator, kernel: &Kernel, files: &Files, time: Time) -> Result<Verdicts> {
    let Files { initramfs, console, said, orders } = files;
    let mut command = emulator.command();
    command.args(time.arguments()).args(MACHINE).arg(KERNEL_ARGUMENTS);
    command.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(initramfs);
    command.arg("-serial").arg(format!("file:{}", console.display())).args(["-serial", "stdio"]);
    command.arg("-monitor").arg(format!("unix:{},server=on,wait=off", orders.display()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut machine = Machine(command.spawn().context("cannot start the emulator")?);
    let (line, lines) = sync_channel(64);
    let output = machine.0.stdout.take().context("no stdout")?;
    let complaints = machine.0.stderr.take().context("no stderr")?;
    let other = line.clone();
    thread::spawn(move || pass_on(output, &line));
    thread::spawn(move || pass_on(complaints, &other));
    let mut verdicts = Verdicts::default();
    let mut said = File::create(said).with_context(|| format!("cannot create {}", said.display()))?;
    if !listen(&lines, SILENCE, &mut said, &mut verdicts)? {
        verdicts.fell_silent = true;
        verdicts.remarks.push(format!("killed: nothing was said for {SILENCE:?}"));
        match UnixStream::connect(orders).and_then(|mut emulator| emulator.write_all(b"nmi\n")) {
            Ok(()) => drop(listen(&lines, CONFESSION, &mut said, &mut verdicts)?),
            Err(error) => verdicts.remarks.push(format!("its emulator takes no orders: {error}")),
        }
    }
    Ok(verdicts)
}

/// The last lines of what a kernel said.
pub(super) fn last_words(console: &Path, count: usize) -> Vec<String> {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().map(|line| line.trim_end().to_owned()).collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

/// Ends with what it was made for.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail when it ended already, which is the usual case.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn pass_on(output: impl Read, line: &SyncSender<String>) {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    // By bytes: what a machine says need not be UTF-8.
    while output.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
        if line.send(String::from_utf8_lossy(&bytes).into_owned()).is_err() {
            return;
        }
        bytes.clear();
    }
}

/// Until the machine ends; `false` if it was silent for longer than `patience`.
fn listen(
    lines: &Receiver<String>,
    patience: Duration,
    said: &mut impl Write,
    verdicts: &mut Verdicts,
) -> Result<bool> {
    loop {
        match lines.recv_timeout(patience) {
            Ok(line) => {
                verdicts.hear(&line);
                said.write_all(line.as_bytes()).context("cannot keep what was said")?;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(true),
            Err(RecvTimeoutError::Timeout) => return Ok(false),
        }
    }
}
