//! `check`: what it says of hosts that lack something, and that it leaves nothing behind.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use monitor::view::SignalsView;
use monitor::view::check::CheckView;
use serde_json::Value;

use crate::helper::without_capabilities;
use crate::{AloneWithOwn, WithOwn, machine, wait};

/// What needs no other kernel than the one at hand.
pub(crate) const TRIALS_OF_ONE_KERNEL: &[WithOwn] = &[
    ("check says in one line each what is not served as designed", lines),
    ("check names the capability that is missing", capabilities),
    ("check without BTF says so", without_btf),
    ("check needs no tracefs", without_tracefs),
];

pub(crate) const TRIALS: &[WithOwn] =
    &[("check tells of locked memory where the kernel counts it", locked_memory)];

pub(crate) const TRIALS_ALONE: &[AloneWithOwn] =
    &[("check explains what is not served, and leaves nothing behind", None, nothing_left)];

/// What may be forced.
const BACKENDS: [&str; 4] = ["auto", "fentry", "kprobe", "tracepoint"];

/// Runs to its end: the exit code, stdout and stderr.
pub(crate) fn run(mut command: Command) -> Result<(Option<i32>, String, String)> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let text = |bytes| String::from_utf8(bytes).context("not UTF-8");
    Ok((output.status.code(), text(output.stdout)?, text(output.stderr)?))
}

fn check(arguments: &[&str]) -> Command {
    let mut command = Command::new(machine::daemon());
    command.arg("check").args(arguments);
    command
}

/// It must succeed; how it says signals are served.
fn says(command: Command) -> Result<SignalsView> {
    Ok(says_in_full(command)?.served)
}

/// The same with all else that it says.
pub(crate) fn says_in_full(command: Command) -> Result<CheckView> {
    let (code, stdout, stderr) = run(command)?;
    ensure!(code == Some(0), "exit code {code:?}: {stderr}");
    let said: Value = serde_json::from_str(&stdout).context("no JSON")?;
    let schema: Value = serde_json::from_str(include_str!("../../../docs/schema/check.schema.json"))?;
    if let Err(error) = jsonschema::draft202012::validate(&schema, &said) {
        bail!("not as the schema says: {error}: {said:#}");
    }
    serde_json::from_value(said).context("not the JSON of `check`")
}

/// It must refuse with exit code 3 and these words.
pub(crate) fn refuses(command: Command, words: &[&str]) -> Result<()> {
    let (code, stdout, stderr) = run(command)?;
    ensure!(code == Some(3), "exit code {code:?}, expected 3: {stderr}");
    ensure!(
        stdout.is_empty() && stderr.trim_end().lines().count() == 1,
        "expected one line: {stdout}{stderr}"
    );
    for word in words {
        ensure!(stderr.contains(word), "no {word:?} in: {stderr}");
    }
    Ok(())
}

/// Whatever does not work as designed has a reason, in one line.
pub(crate) fn explains(view: &SignalsView) -> Result<()> {
    for signal in &view.signals {
        let why = signal.why.as_deref().unwrap_or_default();
        ensure!(signal.status == "works" || !why.is_empty(), "no reason: {signal:?}");
        ensure!(signal.status != "missing" || signal.hook == "none", "{signal:?}");
        let advice = signal.advice.as_deref().unwrap_or_default();
        ensure!(!why.contains('\n') && !advice.contains('\n'), "more than a line: {signal:?}");
    }
    Ok(())
}

fn lines() -> Result<()> {
    for backend in BACKENDS {
        let view = says(check(&["--backend", backend, "-o", "json"]))?;
        explains(&view)?;
        let (code, table, stderr) = run(check(&["--backend", backend]))?;
        ensure!(code == Some(0), "exit code {code:?}: {stderr}");
        // The kernel, and the titles.
        let expected = view.signals.len() + 2;
        ensure!(table.lines().count() == expected, "expected {expected} lines:\n{table}");
    }
    Ok(())
}

fn capabilities() -> Result<()> {
    let arguments = ["check", "-o", "json"];
    // One of the two stands in for it.
    let whole = says(check(&["-o", "json"]))?;
    let view = says(without_capabilities(&["CAP_SYS_ADMIN"], machine::daemon(), &arguments)?)?;
    ensure!(view.signals.len() == whole.signals.len(), "{view:?}");
    for lacking in ["CAP_BPF", "CAP_PERFMON"] {
        refuses(
            without_capabilities(&["CAP_SYS_ADMIN", lacking], machine::daemon(), &arguments)?,
            &[lacking],
        )?;
    }
    let none = ["CAP_SYS_ADMIN", "CAP_BPF", "CAP_PERFMON"];
    refuses(without_capabilities(&none, machine::daemon(), &arguments)?, &["CAP_BPF", "CAP_PERFMON"])
}

/// Before 5.11 maps are charged to a limit, which only this capability raises.
fn locked_memory() -> Result<()> {
    let check = without_capabilities(&["CAP_SYS_RESOURCE"], machine::daemon(), &["check", "-o", "json"])?;
    if machine::counts_locked_memory() {
        return refuses(check, &["RLIMIT_MEMLOCK", "LimitMEMLOCK", "CAP_SYS_RESOURCE"]);
    }
    says(check).map(drop)
}

/// `check` in a mount namespace of its own, after these commands of a shell.
fn after(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{script} && exec \"$@\""), "sh", machine::daemon()]);
    command.args(["check", "-o", "json"]);
    command
}

fn without_btf() -> Result<()> {
    refuses(
        after("mount -t tmpfs none /sys/kernel/btf"),
        &["/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"],
    )
}

fn without_tracefs() -> Result<()> {
    let hidden =
        "for place in tracing debug; do mount -t tmpfs none /sys/kernel/$place || exit 9; done; true";
    let (whole, mut without) = (says(check(&["-o", "json"]))?, says(after(hidden))?);
    for row in &mut without.signals {
        // What tracefs is for, and `capabilities.rs` looks at: a module that is still to come.
        let awaits = row.why.as_deref().is_some_and(|why| why.contains("not loaded, so"));
        row.advice.take_if(|advice| awaits && advice.contains("kernel.perf_event_paranoid"));
    }
    ensure!(whole == without, "{whole:?}\nwithout tracefs: {without:?}");
    Ok(())
}

fn nothing_left() -> Result<()> {
    // Where time is dear, only the usual one, which has hooks of every kind there.
    let backends = if machine::is_virtual() { &BACKENDS[..1] } else { &BACKENDS[..] };
    for &backend in backends {
        let before = programs()?;
        explains(&says(check(&["--backend", backend, "-o", "json"]))?)?;
        if !machine::is_virtual() {
            // Here others may come and go.
            continue;
        }
        // The kernel frees them in its own time.
        wait::until("the end of all programs of `check`", || {
            let left: Vec<_> = programs()?.difference(&before).copied().collect();
            Ok(if left.is_empty() { Ok(()) } else { Err(format!("{backend}: programs {left:?} are there")) })
        })?;
    }
    Ok(())
}

/// Ids of all loaded BPF programs.
fn programs() -> Result<BTreeSet<u32>> {
    aya::programs::loaded_programs().map(|program| Ok(program?.id())).collect()
}
