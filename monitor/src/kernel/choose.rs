//! Ways to serve a signal are tried, best first, and the first one that the kernel takes is it.
//!
//! Nothing is concluded from versions or configurations: a program is loaded and attached, or the kernel says why not. When it
//! refuses a whole kind of hook, the others of that kind are not tried.

use std::io;
use std::os::fd::AsFd as _;

use aya::programs::{FEntry, FExit, KProbe, Program, ProgramError, RawTracePoint};
use aya::{Btf, Ebpf};

use super::hook::{FunctionHook, Hook, Means, Moment};
use super::late_probe::LateProbe;
use super::load::LoadError;
use super::perf_events;
use super::plan::{SignalPlan, Way};
use crate::snapshot::{SignalRow, SignalStatus};

/// A signal and what serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) row: SignalRow,
    pub(super) hooks: Vec<Hook>,
}

/// What was chosen for all signals.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) served: Vec<Served>,
    /// Probes for modules that are still to come.
    pub(super) late: Vec<LateProbe>,
}

/// Loads and attaches a way for each signal. `functions` has the numbers of the running kernel's.
pub(super) fn choose(ebpf: &mut Ebpf, functions: &Btf, signals: &[SignalPlan]) -> Result<Chosen, LoadError> {
    let mut chooser = Chooser {
        ebpf,
        functions,
        attached: Vec::new(),
        late: Vec::new(),
        no_trampolines: None,
        no_probes: None,
    };
    let served = signals.iter().map(|signal| chooser.serve(signal)).collect::<Result<_, _>>()?;
    Ok(Chosen { served, late: chooser.late })
}

struct Chooser<'a> {
    ebpf: &'a mut Ebpf,
    functions: &'a Btf,
    /// In use by a signal.
    attached: Vec<Hook>,
    late: Vec<LateProbe>,
    /// Why there can be none of the kind.
    no_trampolines: Option<String>,
    no_probes: Option<String>,
}

/// Why a hook cannot be used.
struct Refusal {
    reason: String,
    /// All of its kind are refused.
    kind: bool,
}

impl Chooser<'_> {
    fn serve(&mut self, plan: &SignalPlan) -> Result<Served, LoadError> {
        let mut refusals: Vec<String> = Vec::new();
        for way in &plan.ways {
            match self.try_way(way) {
                Ok(()) => {
                    let mut row = row(plan.signal, way, &refusals);
                    if row.advice.is_empty() {
                        row.advice = self.advice_on_awaited(way, perf_events::refusal());
                    }
                    return Ok(Served { row, hooks: way.hooks.clone() });
                }
                Err(refusal) => {
                    tracing::debug!(signal = plan.signal, hook = way.label, %refusal, "not this way");
                    if !refusals.contains(&refusal) {
                        refusals.push(refusal);
                    }
                }
            }
        }
        Err(LoadError::Refused { signal: plan.signal, reason: refusals.join("; ") })
    }

    /// All of a way's hooks, or none.
    fn try_way(&mut self, way: &Way) -> Result<(), String> {
        let mut new = Vec::new();
        for hook in &way.hooks {
            if self.attached.contains(hook) {
                continue;
            }
            match self.try_hook(hook) {
                Ok(()) => new.push(*hook),
                Err(reason) => {
                    for hook in &new {
                        self.take_back(hook);
                    }
                    return Err(reason);
                }
            }
        }
        self.attached.extend(new);
        Ok(())
    }

    fn try_hook(&mut self, hook: &Hook) -> Result<(), String> {
        if let Some(reason) = self.no_such(hook) {
            return Err(reason.clone());
        }
        let tried = self.load(hook).and_then(|()| match hook {
            Hook::Function(function @ FunctionHook { awaits: Some(module), .. }) => {
                self.attach_late(function, module);
                Ok(())
            }
            Hook::Function(FunctionHook { awaits: None, .. }) | Hook::Tracepoint(_) => {
                attach_or_refuse(self.ebpf, hook)
            }
        });
        tried.map_err(|Refusal { reason, kind }| {
            self.take_back(hook);
            let what =
                if kind { hook.kind().to_owned() } else { format!("{}:{}", hook.kind(), hook.place()) };
            let reason = format!("{what}: {reason}");
            if kind && let Hook::Function(function) = hook {
                let kind = match function.means {
                    Means::Trampoline => &mut self.no_trampolines,
                    Means::Probe => &mut self.no_probes,
                };
                *kind = Some(reason.clone());
            }
            reason
        })
    }

    /// A hook of a way that is not used after all, with its late probe, which would hold its program.
    fn take_back(&mut self, hook: &Hook) {
        self.late.retain(|probe| !hook.programs().contains(&Some(probe.program)));
        detach(self.ebpf, hook);
    }

    /// Where that is not possible, it is tried again when the module is there.
    fn attach_late(&mut self, function: &FunctionHook, module: &str) {
        let opened = match self.ebpf.program(function.program()) {
            Some(Program::KProbe(program)) => program
                .fd()
                .map_err(io::Error::other)
                .and_then(|program| LateProbe::open(function, module, program.as_fd())),
            // A module that is not there has no types, so there is no trampoline.
            Some(_) | None => return,
        };
        match opened {
            Ok(probe) => self.late.push(probe),
            Err(error) => tracing::debug!(function = function.pair.function, module, %error, "no late probe"),
        }
    }

    /// What to do about a module that the kernel was not told to wait for, where attaching to it will be refused; empty elsewhere.
    fn advice_on_awaited(&self, way: &Way, refusal: Option<String>) -> String {
        let waits = |hook: &Hook| match hook {
            Hook::Function(function) => {
                function.awaits.is_some()
                    && !self.late.iter().any(|probe| probe.program == function.program())
            }
            Hook::Tracepoint(_) => false,
        };
        let refusal = refusal.filter(|_| way.hooks.iter().any(waits));
        refusal.map(|refusal| format!("{}: {refusal}", perf_events::ADVICE)).unwrap_or_default()
    }

    fn no_such(&self, hook: &Hook) -> Option<&String> {
        match hook {
            Hook::Tracepoint(_) => None,
            Hook::Function(function) => match function.means {
                Means::Trampoline => self.no_trampolines.as_ref(),
                Means::Probe => self.no_probes.as_ref(),
            },
        }
    }

    fn load(&mut self, hook: &Hook) -> Result<(), Refusal> {
        let function = match hook {
            Hook::Tracepoint(_) => {
                for name in hook.programs().into_iter().flatten() {
                    let program: &mut RawTracePoint = program(self.ebpf, name)?;
                    program.load().map_err(|error| refusal(name, &error))?;
                }
                return Ok(());
            }
            Hook::Function(function) => function,
        };
        let name = function.program();
        match (function.means, function.moment) {
            (Means::Trampoline, Moment::Entry) => {
                let program: &mut FEntry = program(self.ebpf, name)?;
                program.load(function.pair.function, self.functions).map_err(|error| refusal(name, &error))
            }
            (Means::Trampoline, Moment::Return) => {
                let program: &mut FExit = program(self.ebpf, name)?;
                program.load(function.pair.function, self.functions).map_err(|error| refusal(name, &error))
            }
            (Means::Probe, Moment::Entry | Moment::Return) => {
                let program: &mut KProbe = program(self.ebpf, name)?;
                program.load().map_err(|error| refusal(name, &error))
            }
        }
    }
}

/// Attaches a loaded hook; the reason if it cannot be.
pub(super) fn attach(ebpf: &mut Ebpf, hook: &Hook) -> Result<(), String> {
    attach_or_refuse(ebpf, hook).map_err(|refusal| refusal.reason)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "kinds of programs that are aya's, and none of ours")]
fn attach_or_refuse(ebpf: &mut Ebpf, hook: &Hook) -> Result<(), Refusal> {
    for name in hook.programs().into_iter().flatten() {
        let Some(program) = ebpf.program_mut(name) else { return Err(absent(name)) };
        let attached = match program {
            Program::RawTracePoint(program) => program.attach(hook.place()).map(drop),
            Program::FEntry(program) => program.attach().map(drop),
            Program::FExit(program) => program.attach().map(drop),
            Program::KProbe(program) => program.attach(hook.place(), 0).map(drop),
            _ => return Err(absent(name)),
        };
        attached.map_err(|error| refusal(name, &error))?;
    }
    Ok(())
}

/// Takes a hook back, attached or only loaded. What was not loaded stays as it is.
fn detach(ebpf: &mut Ebpf, hook: &Hook) {
    for name in hook.programs().into_iter().flatten() {
        let unloaded = match ebpf.program_mut(name) {
            Some(Program::RawTracePoint(program)) => program.unload(),
            Some(Program::FEntry(program)) => program.unload(),
            Some(Program::FExit(program)) => program.unload(),
            Some(Program::KProbe(program)) => program.unload(),
            _ => Ok(()),
        };
        // What was not loaded cannot be unloaded.
        drop(unloaded);
    }
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, Refusal>
where
    &'a mut P: TryFrom<&'a mut Program>,
{
    ebpf.program_mut(name).and_then(|program| program.try_into().ok()).ok_or_else(|| absent(name))
}

fn absent(name: &str) -> Refusal {
    Refusal { reason: format!("program {name} is not in the object; it is of another build"), kind: false }
}

/// The kernel's answer on one line; the verifier's log goes to the debug log, where there is room.
#[expect(clippy::wildcard_enum_match_arm, reason = "errors of aya's that say enough as they are")]
fn refusal(program: &'static str, error: &ProgramError) -> Refusal {
    let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            tracing::debug!(program, %verifier_log, "the verifier's log");
            // With an empty log it was not the program that was refused.
            let log = verifier_log.to_string();
            let kind = denied(io_error) && log.trim().is_empty();
            let reason = match objection(&log) {
                Some(objection) => format!("{io_error}: {program}: {objection}"),
                None => told(io_error, kind),
            };
            Refusal { reason, kind }
        }
        ProgramError::SyscallError(error) => {
            let kind = denied(&error.io_error);
            let setting = perf_events::refusal().filter(|_| kind && error.call == "perf_event_open");
            let reason = [Some(told(&error.io_error, kind)), setting];
            Refusal { reason: reason.into_iter().flatten().collect::<Vec<_>>().join("; "), kind }
        }
        // Neither the kernel's unit for probes nor the file of tracefs is there.
        ProgramError::KProbeError(_) => Refusal { reason: "this kernel has none".to_owned(), kind: true },
        error => Refusal { reason: error.to_string().replace('\n', " "), kind: false },
    }
}

/// That a whole kind is denied is not for want of a capability: those were looked at before (`plan.rs`).
fn told(error: &io::Error, kind: bool) -> String {
    /// The kernel's own number for what it does not support, which C libraries have no words for. A trampoline for a function with
    /// more than six arguments is such, before 6.6.
    const ENOTSUPP: i32 = 524;
    match (kind, error.raw_os_error()) {
        (true, _) => format!("refused although the capabilities are there: {error}"),
        (false, Some(ENOTSUPP)) => "this kernel cannot (ENOTSUPP)".to_owned(),
        (false, _) => error.to_string(),
    }
}

/// What the verifier ended its log with, before its statistics.
fn objection(log: &str) -> Option<&str> {
    // Of 7.2, and of those before it.
    const STATISTICS: [&str; 4] = ["insns processed ", "processed ", "verification time ", "stack depth "];
    let is_objection = |line: &&str| !STATISTICS.iter().any(|start| line.starts_with(start));
    log.lines().map(str::trim).filter(|line| !line.is_empty()).rfind(is_objection)
}

fn row(signal: &'static str, way: &Way, refusals: &[String]) -> SignalRow {
    let Way { hooks: _, label, status, why, advice } = way;
    let why = match status {
        SignalStatus::Works => why.clone(),
        SignalStatus::Degraded | SignalStatus::Missing => {
            let told = std::iter::once(why.as_str()).filter(|why| !why.is_empty());
            told.chain(refusals.iter().map(String::as_str)).collect::<Vec<_>>().join("; ")
        }
    };
    SignalRow { signal, hook: label.clone(), status: *status, why, advice: advice.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_in_words() {
        let error = io::Error::from_raw_os_error;
        assert_eq!(told(&error(524), false), "this kernel cannot (ENOTSUPP)");
        assert!(told(&error(22), false).starts_with("Invalid argument"));
        assert!(told(&error(1), true).contains("capabilities are there: Operation not permitted"));
    }

    #[test]
    fn the_verifiers_objection_is_its_last_line_but_for_statistics() {
        let log = "0: (b7) r0 = 0\ncombined stack size of 3 calls is 544. Too large\nverification time 4 usec\n\
                   stack depth 8+472\nprocessed 26706 insns (limit 1000000) max_states_per_insn 11\n";
        assert_eq!(objection(log), Some("combined stack size of 3 calls is 544. Too large"));
        assert_eq!(objection("\n"), None);
    }
}
