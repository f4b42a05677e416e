//! `docs`: the files of the documentation that are made from the source, and the tables made from what kernels said.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::diagnosis::{self, Diagnosis};
use crate::kernels::{self, PAGE, Record};
use crate::process::{capture, step};
use crate::workspace;

/// A file, and the example of `monitor` that prints what it should say, with its argument.
const MADE: [(&str, &str, Option<&str>); 5] = [
    ("docs/openapi.json", "openapi", None),
    ("docs/schema/check.schema.json", "json_schema", Some("check")),
    ("docs/schema/event.schema.json", "json_schema", Some("event")),
    ("docs/schema/history.schema.json", "json_schema", Some("history")),
    ("docs/schema/probe.schema.json", "json_schema", Some("probe")),
];

/// The command. With `check` writes nothing, and fails if a file is not what the source says.
pub(crate) fn run(check: bool) -> Result<()> {
    step("documentation made from the source");
    for (path, example, argument) in MADE {
        let mut cargo = workspace::cargo("run");
        cargo.args(["--quiet", "--package", "monitor", "--example", example, "--"]).args(argument);
        let text = capture(&mut cargo)?;
        let present = fs::read_to_string(workspace::root().join(path));
        settle(path, present.is_ok_and(|present| present == text), &text, check)?;
    }
    let (present, text) = kernels::page(&Record::read()?)?;
    settle(PAGE, present == text, &text, check)?;
    let (present, text) = Diagnosis::read()?.page()?;
    settle(diagnosis::PAGE, present == text, &text, check)
}

/// Writes a file unless it says the same; with `check` only tells.
fn settle(path: &str, is_same: bool, text: &str, check: bool) -> Result<()> {
    if is_same {
        return Ok(());
    }
    if check {
        bail!("{path} is not what the source says; `cargo xtask docs` writes it");
    }
    let full = workspace::root().join(path);
    let directory = full.parent().context("a file without a directory")?;
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    fs::write(&full, text).with_context(|| format!("cannot write {}", full.display()))?;
    eprintln!("wrote {path}");
    Ok(())
}
