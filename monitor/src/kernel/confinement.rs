//! The daemon confined: once everything is attached, the kernel refuses it the system calls that it does not need (seccomp), in every
//! thread and for good. `calls.rs` says which, this file has them refused.
//!
//! What is not named stays allowed. A refused call fails with `EPERM` and ends nobody. Where the filter cannot be had (a kernel without
//! seccomp, a container whose own filter forbids it), the daemon runs on without.

mod calls;

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads,
};

use self::calls::{Call, Test};

/// What a daemon may have been told to do after its start, and others have no need of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Attaching programs to a module that is loaded later.
    Attach,
    /// Entering other network namespaces.
    Enter,
    /// Making files and opening them to write: an event log begins a new one from time to time.
    Write,
    /// Running other programs: a kubeconfig may name one that makes tokens.
    Run,
}

/// Why nothing is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// There is no filter for this processor.
    #[error("make a filter of system calls: {0}")]
    Make(#[from] BackendError),
    /// The kernel, or whoever confined this process before, does not take it.
    #[error("install a filter of system calls: {0}")]
    Install(#[from] seccompiler::Error),
}

/// From now on every thread of this process can do what these purposes take, and nothing that only others do.
pub fn confine(purposes: &[Purpose]) -> Result<(), ConfineError> {
    for program in programs(purposes)? {
        apply_filter_all_threads(&program)?;
    }
    Ok(())
}

/// The filters. Each knows one answer.
fn programs(purposes: &[Purpose]) -> Result<Vec<BpfProgram>, BackendError> {
    let refused = program(calls::refused(purposes, std::process::id()), libc::EPERM)?;
    // libc then takes the older call, of which a filter sees the arguments.
    let unknown = program(calls::UNKNOWN.iter().map(|number| (*number, Call::Always)), libc::ENOSYS)?;
    Ok([Some(refused), Some(unknown), foreign_numbers()].into_iter().flatten().collect())
}

fn program(calls: impl IntoIterator<Item = (i64, Call)>, errno: i32) -> Result<BpfProgram, BackendError> {
    let mut rules = BTreeMap::new();
    for (number, call) in calls {
        let rule: Vec<SeccompRule> = match call {
            Call::Always => Vec::new(),
            Call::If(cases) => cases.into_iter().map(rule).collect::<Result<_, _>>()?,
        };
        rules.insert(number, rule);
    }
    let answer = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, answer, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// Arguments that all of these are true of. They are numbers of 32 bits to the kernel, whatever the rest of the register says.
fn rule(tests: Vec<(u8, Test)>) -> Result<SeccompRule, BackendError> {
    let condition = |(argument, test)| {
        let (operator, value) = match test {
            Test::Is(value) => (SeccompCmpOp::Eq, value),
            Test::IsNot(value) => (SeccompCmpOp::Ne, value),
            Test::IsAbove(value) => (SeccompCmpOp::Gt, value),
            Test::Has(bits) => (SeccompCmpOp::MaskedEq(bits.into()), bits),
            Test::Masked(mask, value) => (SeccompCmpOp::MaskedEq(mask.into()), value),
        };
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value.into())
    };
    SeccompRule::new(tests.into_iter().map(condition).collect::<Result<_, _>>()?)
}

/// The same calls have other numbers for programs of the x32 ABI, which look like those of `x86_64` otherwise: unknown, all of them.
#[cfg(target_arch = "x86_64")]
fn foreign_numbers() -> Option<BpfProgram> {
    use libc::{BPF_ABS, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    use seccompiler::sock_filter;

    /// kernel: `arch/x86/include/uapi/asm/unistd.h` `__X32_SYSCALL_BIT`.
    const X32: u32 = 0x4000_0000;
    let instruction = |code: u32, jf, k| u16::try_from(code).map(|code| sock_filter { code, jt: 0, jf, k });
    let steps = [
        // The number, which `struct seccomp_data` begins with.
        instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0),
        instruction(BPF_JMP | BPF_JGE | BPF_K, 1, X32),
        instruction(BPF_RET | BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
        instruction(BPF_RET | BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    steps.into_iter().collect::<Result<_, _>>().ok()
}

#[cfg(not(target_arch = "x86_64"))]
const fn foreign_numbers() -> Option<BpfProgram> {
    None
}

#[cfg(test)]
mod tests;
