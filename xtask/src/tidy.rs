//! `tidy`: the repository's own rules, as checks on its files. CONTRIBUTING.md gives the reason of each.

mod rules;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process::{capture, step};
use crate::workspace;

/// The command. Shows every violation, not only the first.
pub(crate) fn run() -> Result<()> {
    step("repository rules");
    let root = workspace::root();
    let mut list = Command::new("git");
    // New files too: a rule should speak before the commit. Separated by NUL: then git quotes no name.
    // Whoever owns the checkout: git runs no hook for a list.
    list.current_dir(&root).arg("-c").arg(format!("safe.directory={}", root.display()));
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let files = capture(&mut list)?;
    let mut count = 0;
    for path in files.split_terminator('\0') {
        let full = root.join(path);
        // Deleted but not yet committed, or a link into somewhere else.
        if !full.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let content = fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?;
        let mut violations = rules::check(path, &content);
        violations.extend(missing_pictures(&root, path, &content));
        for violation in violations {
            eprintln!("{path}:{}: {}", violation.line, violation.rule);
            count += 1;
        }
    }
    if count > 0 {
        bail!("{count} violations of the repository's rules (CONTRIBUTING.md)");
    }
    Ok(())
}

/// Pictures that a document shows and that are not there.
fn missing_pictures(root: &Path, path: &str, content: &[u8]) -> Vec<rules::Violation> {
    let Ok(text) = std::str::from_utf8(content) else { return Vec::new() };
    let directory = root.join(path).parent().map_or_else(|| root.to_path_buf(), Path::to_path_buf);
    let shown = rules::pictures(path, text);
    let missing = shown.into_iter().filter(|(_, picture)| !directory.join(picture).is_file());
    missing
        .map(|(line, picture)| rules::Violation {
            line,
            rule: format!("no picture {picture}: `cargo xtask pictures` takes them"),
        })
        .collect()
}
