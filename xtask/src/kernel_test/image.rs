//! What a virtual machine finds when its kernel is up: an initramfs with one program of ours and few of others.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::cpio::Archive;
use super::modules;
use crate::setup::{Guest, Kernel};

/// Names of the program that is many, as trials call it.
const SHELL: [&str; 2] = ["bin/mount", "bin/sh"];
/// Users and groups, for programs that look up their own.
const ACCOUNTS: [(&str, &str); 2] =
    [("etc/passwd", "root:x:0:0:root:/:/bin/sh\n"), ("etc/group", "root:x:0:\n")];

/// Makes the initramfs of a kernel. The paths of the trials' own files are named in `monitor/tests/kernel/{machine,guest,modules}.rs`.
pub(super) fn make(trials: &[u8], arguments: &[String], guest: &Guest, kernel: &Kernel) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.file(Path::new("init"), trials)?;
    archive.link(Path::new("reset-monitor"), "/init")?;
    archive.file(Path::new("arguments"), lines(arguments).as_bytes())?;

    for path in guest.files()? {
        let content = fs::read(guest.root().join(&path));
        archive.file(&path, &content.with_context(|| format!("cannot read {}", path.display()))?)?;
    }
    for name in SHELL {
        archive.link(Path::new(name), "/bin/busybox")?;
    }
    for (path, content) in ACCOUNTS {
        archive.file(Path::new(path), content.as_bytes())?;
    }

    let mut table = String::new();
    for (name, module) in modules::read(&kernel.modules())? {
        writeln!(table, "{name} {}", module.needed.join(" "))?;
        archive.file(Path::new(&format!("modules/{name}.ko")), &module.content)?;
    }
    archive.file(Path::new("modules/needed"), table.as_bytes())?;
    archive.finish()
}

fn lines(words: &[String]) -> String {
    words.iter().flat_map(|word| [word, "\n"]).collect()
}
