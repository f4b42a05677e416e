//! Kernel modules of a virtual machine, loaded when a trial asks for them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::system::finit_module;

/// What `cargo xtask kernel-test` put into the machine: `NAME.ko` each, and which need which.
const DIRECTORY: &str = "/modules";
/// A line for each module: its name, and those it needs itself.
const NEEDED: &str = "/modules/needed";

/// Loads a module after those it needs. One that is loaded already stays as it is.
pub(crate) fn load(name: &str) -> Result<()> {
    // One at a time: a module is not there before its initialisation is over.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let table = fs::read_to_string(NEEDED).context("this machine has no modules of ours")?;
    let needed = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.collect()))
    });
    load_after_needed(name, &needed.collect()).with_context(|| format!("cannot load the module {name}"))
}

fn load_after_needed(name: &str, needed: &BTreeMap<&str, Vec<&str>>) -> Result<()> {
    for other in needed.get(name).context("this machine does not have it")? {
        load_after_needed(other, needed)?;
    }
    let file = File::open(Path::new(DIRECTORY).join(format!("{name}.ko")))?;
    match finit_module(&file, c"", 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{name} was refused")),
    }
}
