//! Ways to a kernel function: by a trampoline if its types are known, else by a probe.

use monitor_common::names::function::Pair;

use super::Way;
use crate::kernel::facts::Facts;
use crate::kernel::hook::{FunctionHook, Hook, Means, Moment};

/// Which kinds of hooks to use. All but the first are for tests and comparisons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    /// For each signal the best that works
    #[default]
    Auto,
    /// Functions by trampolines only, beside tracepoints
    Fentry,
    /// Functions by probes only, beside tracepoints
    Kprobe,
    /// Tracepoints and counters only
    Tracepoint,
}

impl Backend {
    const fn allows(self, means: Means) -> bool {
        match (self, means) {
            (Self::Auto, _) | (Self::Fentry, Means::Trampoline) | (Self::Kprobe, Means::Probe) => true,
            (Self::Fentry, Means::Probe) | (Self::Kprobe, Means::Trampoline) | (Self::Tracepoint, _) => false,
        }
    }
}

/// Functions of a signal, each with the module that it is in where it is not built in.
pub(super) struct Functions<'a> {
    pub(super) pairs: &'a [(Pair, Option<&'static str>)],
    pub(super) moment: Moment,
}

impl<'a> Functions<'a> {
    pub(super) const fn entered(pairs: &'a [(Pair, Option<&'static str>)]) -> Self {
        Self { pairs, moment: Moment::Entry }
    }

    /// Hooks at all of the functions, for each way to get there.
    pub(super) fn hooks(&self, facts: &Facts, backend: Backend) -> Vec<Vec<Hook>> {
        let mut ways = Vec::new();
        let known = self.pairs.iter().all(|(pair, _)| facts.functions.contains_key(pair.function));
        if backend.allows(Means::Trampoline) && known {
            ways.push(self.by(facts, Means::Trampoline));
        }
        if backend.allows(Means::Probe) {
            ways.push(self.by(facts, Means::Probe));
        }
        ways
    }

    fn by(&self, facts: &Facts, means: Means) -> Vec<Hook> {
        let hook = |&(pair, module): &(Pair, Option<&'static str>)| {
            let built_in = facts.functions.contains_key(pair.function);
            let awaits = module.filter(|module| !built_in && !facts.modules.contains(module));
            Hook::Function(FunctionHook { pair, means, moment: self.moment, awaits })
        };
        self.pairs.iter().map(hook).collect()
    }

    /// [`Self::hooks`] as ways in which the signal works as designed. One that awaits a module says so.
    pub(super) fn ways(&self, facts: &Facts, backend: Backend) -> Vec<Way> {
        self.hooks(facts, backend)
            .into_iter()
            .map(|hooks| Way { why: awaited(&hooks), ..Way::works(hooks) })
            .collect()
    }
}

/// Which modules are awaited; empty when none is.
pub(crate) fn awaited(hooks: &[Hook]) -> String {
    let modules: Vec<_> = hooks
        .iter()
        .filter_map(|hook| match hook {
            Hook::Tracepoint(_) => None,
            Hook::Function(hook) => hook.awaits,
        })
        .collect();
    if modules.is_empty() {
        return String::new();
    }
    let are = if modules.len() == 1 { "is" } else { "are" };
    format!(
        "{} {are} not loaded, so there is nothing to see; attached as soon as there is",
        modules.join(" and ")
    )
}
