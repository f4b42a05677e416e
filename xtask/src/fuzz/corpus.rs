//! The corpus in the repository: the fewest and smallest inputs that reach everything that has been reached.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use super::directory;
use super::session::Session;
use crate::cache::remove;
use crate::process::{run, show, step};
use crate::workspace;

/// Longest input that is kept, in bytes. Each stays in every clone, and what takes more is a change to a fixture, which the next
/// run finds again.
const LONGEST: u64 = 1_024;

/// Replaces the kept corpus of a target by the least part of it and of what was found that reaches as much.
pub(super) fn minimise(session: &Session) -> Result<()> {
    let least = directory().join("least").join(session.target.name);
    remove(&least)?;
    fs::create_dir_all(&least).with_context(|| format!("cannot create {}", least.display()))?;
    // What the tests' files reach needs no other input: libFuzzer keeps what the first directory has.
    let mut copies = Vec::new();
    if let Some(fixtures) = &session.target.fixtures {
        for path in files(&workspace::root().join(fixtures.directory))? {
            if path.extension().is_some_and(|extension| extension == fixtures.extension) {
                copies.push(copy(&path, &least)?);
            }
        }
    }
    let mut command = session.command();
    // By edges alone: how often each was taken makes ten times as many inputs, which a run finds again in seconds.
    command.args(["-set_cover_merge=1", "-use_counters=0"]).arg(&least);
    command.args([&session.kept, &session.found].into_iter().filter(|directory| directory.is_dir()));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    run(&mut command)?;
    for path in copies {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    let mut inputs = files(&least)?;
    inputs.retain(|path| path.metadata().is_ok_and(|metadata| metadata.len() <= LONGEST));
    ensure!(!inputs.is_empty() || session.target.fixtures.is_some(), "nothing is left: {}", show(&command));
    remove(&session.kept)?;
    let kept = &session.kept;
    fs::create_dir_all(kept).with_context(|| format!("cannot create {}", kept.display()))?;
    for path in &inputs {
        copy(path, kept)?;
    }
    step(&format!("{}: {} inputs kept", session.target.name, inputs.len()));
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    paths.with_context(|| format!("cannot list {}", directory.display()))
}

fn copy(file: &Path, directory: &Path) -> Result<PathBuf> {
    let to = directory.join(file.file_name().with_context(|| format!("{} has no name", file.display()))?);
    fs::copy(file, &to).with_context(|| format!("cannot copy {} to {}", file.display(), to.display()))?;
    Ok(to)
}
