//! Running programs: what each signal is served by, which events they missed, and those that still await a module.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::Arc;

use aya::Ebpf;
use monitor_common::counters::Tracepoint;

use super::choose::{Chosen, Served, attach};
use super::facts::is_loaded;
use super::hook::{FunctionHook, Hook, label};
use super::late_probe::LateProbe;
use super::plan::awaited;
use crate::snapshot::{ProgramRow, SignalRow, SignalStatus};

/// What the kernel's verifier did for a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedProgram {
    /// Its name.
    pub program: &'static str,
    /// Where it is attached, as in `fentry:tcp_reset`.
    pub hook: String,
    /// Instructions that were looked at; unknown before 5.16.
    pub instructions: Option<u32>,
}

/// What to do when a program cannot be attached to a module that came later, and without tracefs could not be before. Debian's
/// kernels ask for `CAP_SYS_ADMIN` where `kernel.perf_event_paranoid` is above 2, and it is not kept (seen on 6.18.15: refused
/// at 3, attached at 2).
const ADVICE: &str = "restart reset-monitor, or set kernel.perf_event_paranoid to 2 before it starts";

/// Running programs. They detach when this is dropped, and when the process ends in any way.
#[derive(Debug)]
pub struct Programs {
    /// Before the programs, which they hold.
    late: Vec<LateProbe>,
    ebpf: Ebpf,
    served: Vec<Served>,
    /// Every hook in use, each once.
    hooks: Vec<Hook>,
    /// Missed events per hook as published; they never go down.
    missed: Vec<u64>,
}

impl Programs {
    pub(super) fn new(ebpf: Ebpf, chosen: Chosen) -> Self {
        let Chosen { served, late } = chosen;
        let mut hooks = Vec::new();
        for hook in served.iter().flat_map(|served| &served.hooks) {
            if !hooks.contains(hook) {
                hooks.push(*hook);
            }
        }
        let missed = vec![0; hooks.len()];
        Self { late, ebpf, served, hooks, missed }
    }

    /// How each signal is served now.
    pub fn signals(&self) -> Arc<[SignalRow]> {
        self.served.iter().map(|served| served.row.clone()).collect()
    }

    /// What the verifier did for each program in use. aya asks it for a log only when it refuses, so where the kernel keeps no number
    /// there is none.
    pub fn verified(&self) -> Vec<VerifiedProgram> {
        let told = |program| self.ebpf.program(program)?.info().ok()?.verified_instruction_count();
        let of_hook = |hook: &Hook| {
            let (programs, hook) = (hook.programs(), label(&[*hook]));
            programs.into_iter().flatten().map(move |program| VerifiedProgram {
                program,
                hook: hook.clone(),
                instructions: told(program),
            })
        };
        self.hooks.iter().flat_map(of_hook).collect()
    }

    /// Whether a program waits for its module.
    pub fn is_awaiting(&self) -> bool {
        self.served.iter().flat_map(|served| &served.hooks).any(|hook| awaits(hook).is_some())
    }

    /// Whether one of them will have to be attached then; the others are, by the kernel.
    pub fn is_to_attach(&self) -> bool {
        let mut awaited = self.served.iter().flat_map(|served| &served.hooks).filter_map(awaits);
        awaited.any(|function| !is_attached_late(&self.late, &function))
    }

    /// Attaches programs whose modules have been loaded since. Whether there were any.
    pub fn attach_awaited(&mut self) -> bool {
        let Self { late, ebpf, served, hooks, .. } = self;
        let mut changed = false;
        for Served { row, hooks: ours } in served {
            for hook in ours.iter_mut() {
                let Some(function) = awaits(hook) else { continue };
                if !function.awaits.is_some_and(is_loaded) {
                    continue;
                }
                changed = true;
                let there = Hook::Function(FunctionHook { awaits: None, ..function });
                let attached = if is_attached_late(late, &function) { Ok(()) } else { attach(ebpf, &there) };
                match attached {
                    Ok(()) => tracing::info!(
                        signal = row.signal,
                        hook = there.place(),
                        "its module was loaded: attached"
                    ),
                    Err(reason) => {
                        tracing::warn!(signal = row.signal, hook = there.place(), %reason, "its module was loaded, but it could not be attached");
                        row.status = SignalStatus::Degraded;
                        ADVICE.clone_into(&mut row.advice);
                        row.why = format!("{}:{}: {reason}", there.kind(), there.place());
                    }
                }
                for known in hooks.iter_mut().filter(|known| **known == *hook) {
                    *known = there;
                }
                *hook = there;
            }
            if row.status == SignalStatus::Works {
                row.why = awaited(ours);
                if row.why.is_empty() {
                    // Of what might have come otherwise.
                    row.advice.clear();
                }
            }
        }
        changed
    }

    /// The ring of debug lines, once.
    #[cfg(feature = "debug-log")]
    pub(super) fn take_debug_lines(&mut self) -> Result<super::debug_log::DebugLines, aya_log::Error> {
        super::debug_log::DebugLines::open(&mut self.ebpf)
    }

    /// Events missed per hook: runs of the first program that the kernel skipped (counted from 5.12 on), less those that the
    /// second program took, where there is one. `relieved` reads how many that were, after the skipped runs are known.
    pub fn rows(&mut self, relieved: impl Fn(Tracepoint) -> u64) -> Vec<ProgramRow> {
        let Self { ebpf, hooks, missed, .. } = self;
        let rows = hooks.iter().zip(missed).filter_map(|(hook, missed)| {
            let name = hook.programs().into_iter().flatten().next()?;
            let now = skipped_runs(ebpf, name).map(|skipped| {
                let taken = match hook {
                    Hook::Tracepoint(tracepoint) => relieved(*tracepoint),
                    Hook::Function(_) => 0,
                };
                *missed = (*missed).max(skipped.saturating_sub(taken));
                *missed
            });
            Some(ProgramRow { name, missed_runs: now })
        });
        rows.collect()
    }
}

/// The function, if its program waits for a module.
fn awaits(hook: &Hook) -> Option<FunctionHook> {
    match hook {
        Hook::Tracepoint(_) => None,
        Hook::Function(function) => function.awaits.map(|_module| *function),
    }
}

fn is_attached_late(late: &[LateProbe], function: &FunctionHook) -> bool {
    late.iter().any(|probe| probe.program == function.program())
}

fn skipped_runs(ebpf: &Ebpf, program: &str) -> Option<u64> {
    let fd = ebpf.program(program)?.fd().ok()?.as_fd().as_raw_fd();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}
