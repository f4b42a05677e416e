//! Hooks: where a program of ours is attached, and how.

use std::fmt::Write as _;

use monitor_common::counters::Tracepoint;
use monitor_common::names;
use monitor_common::names::function::Pair;

/// One place in the kernel, with the programs that go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A raw tracepoint and its two programs.
    Tracepoint(Tracepoint),
    /// A kernel function.
    Function(FunctionHook),
}

/// A kernel function and the program for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionHook {
    /// The function, with both of its programs.
    pub pair: Pair,
    /// Which of the two.
    pub means: Means,
    /// At its entry or at its return.
    pub moment: Moment,
    /// Its module, when that is not loaded: the program is attached when it is.
    pub awaits: Option<&'static str>,
}

/// How a program gets to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// A trampoline (fentry, fexit): the function jumps to the program.
    Trampoline,
    /// A probe (kprobe, kretprobe).
    Probe,
}

/// When a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the function.
    Entry,
    /// After it.
    Return,
}

impl Hook {
    /// Kind of attachment, as `check` and the label `hook` spell it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tracepoint(_) => "raw_tracepoint",
            Self::Function(FunctionHook { means, moment, .. }) => match (means, moment) {
                (Means::Trampoline, Moment::Entry) => "fentry",
                (Means::Trampoline, Moment::Return) => "fexit",
                (Means::Probe, Moment::Entry) => "kprobe",
                (Means::Probe, Moment::Return) => "kretprobe",
            },
        }
    }

    /// The tracepoint or function in the kernel.
    pub const fn place(&self) -> &'static str {
        match self {
            Self::Tracepoint(tracepoint) => tracepoint_name(*tracepoint),
            Self::Function(hook) => hook.pair.function,
        }
    }

    /// Programs that go there, in the order in which they must be attached, since they run in that order.
    pub const fn programs(&self) -> [Option<&'static str>; 2] {
        match self {
            Self::Tracepoint(tracepoint) => {
                let [first, second] = tracepoint_programs(*tracepoint);
                [Some(first), Some(second)]
            }
            Self::Function(hook) => [Some(hook.program()), None],
        }
    }
}

impl FunctionHook {
    /// The program in the object.
    pub const fn program(&self) -> &'static str {
        match self.means {
            Means::Trampoline => self.pair.trampoline,
            Means::Probe => self.pair.probe,
        }
    }
}

/// As in `kind:place,place+kind:place`, which is the label `hook` of a signal.
pub fn label(hooks: &[Hook]) -> String {
    let mut label = String::new();
    let mut last = None;
    for hook in hooks {
        let joined = if last == Some(hook.kind()) {
            write!(label, ",{}", hook.place())
        } else {
            let plus = if label.is_empty() { "" } else { "+" };
            write!(label, "{plus}{}:{}", hook.kind(), hook.place())
        };
        debug_assert!(joined.is_ok(), "strings take everything");
        last = Some(hook.kind());
    }
    label
}

/// The kernel's name for it.
pub const fn tracepoint_name(tracepoint: Tracepoint) -> &'static str {
    match tracepoint {
        Tracepoint::SetState => "inet_sock_set_state",
        Tracepoint::SendReset => "tcp_send_reset",
        Tracepoint::ReceiveReset => "tcp_receive_reset",
    }
}

/// Its program, and the second one, which takes the events for which the kernel skips the first.
pub const fn tracepoint_programs(tracepoint: Tracepoint) -> [&'static str; 2] {
    match tracepoint {
        Tracepoint::SetState => [names::SET_STATE, names::RELIEF_STATE],
        Tracepoint::SendReset => [names::SEND_RESET, names::RELIEF_SEND],
        Tracepoint::ReceiveReset => [names::RECEIVE_RESET, names::RELIEF_RECEIVE],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monitor_common::names::function;

    #[test]
    fn a_label_names_each_kind_once_for_its_neighbours() {
        let function =
            |pair, means, moment| Hook::Function(FunctionHook { pair, means, moment, awaits: None });
        let hooks = [
            Hook::Tracepoint(Tracepoint::SendReset),
            function(function::ANSWER_V4, Means::Trampoline, Moment::Entry),
            function(function::ANSWER_V6, Means::Trampoline, Moment::Entry),
            function(function::EARLY_DROP, Means::Probe, Moment::Return),
        ];
        assert_eq!(
            label(&hooks),
            "raw_tracepoint:tcp_send_reset+fentry:tcp_v4_send_reset,tcp_v6_send_reset+kretprobe:early_drop"
        );
        assert_eq!(label(&[]), "");
    }
}
