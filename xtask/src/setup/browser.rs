//! A headless Chromium for the tests of the page, and what drives it: the first from Debian packages, the second from npm, as the
//! lock file of `monitor/tests/browser` names it, with its checksums.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::debian::{self, Archive, Host};
use super::npm;
use crate::cache::{Cache, remove};
use crate::process::{capture, note, step};

/// The browser without a window, and letters for it: a machine without any would show boxes.
const PACKAGES: [&str; 2] = ["chromium-headless-shell", "fonts-dejavu-core"];
/// The program.
const BROWSER: &str = "chromium-headless-shell";
/// The name of the cached tree. The tests look there, too.
const CACHED: &str = "browser";
/// Where what drives it is named.
const SOURCE: &str = "monitor/tests/browser";
/// Only the letters that are in the tree. Relative: the tree is renamed when it is complete.
const FONTS: &str = "<?xml version=\"1.0\"?>\n<!DOCTYPE fontconfig SYSTEM \"fonts.dtd\">\n<fontconfig>\
    <dir prefix=\"relative\">root/usr/share/fonts</dir><cachedir prefix=\"xdg\">fontconfig</cachedir></fontconfig>\n";

/// Makes sure that the tree is there, and is what the lock file names.
pub(super) fn find_or_fetch(cache: &Cache) -> Result<PathBuf> {
    if let Some(tree) = at_hand(cache)? {
        return Ok(tree);
    }
    step("setup: looking for the browser of the page's tests");
    npm::ensure_programs()?;
    let _lock = cache.lock()?;
    // Whoever held the lock may have done the work.
    if let Some(tree) = at_hand(cache)? {
        return Ok(tree);
    }
    let tree = cache.scratch("apt", |scratch| {
        let archive = Archive::open(scratch, Host::This)?;
        note(&format!("fetching {} (about 90 MB) and what drives it, once", PACKAGES.join(", ")));
        cache.install(CACHED, |growing| fill(&archive, growing))
    });
    tree.context("the browser of the page's tests")
}

fn at_hand(cache: &Cache) -> Result<Option<PathBuf>> {
    let Some(tree) = cache.installed(CACHED) else { return Ok(None) };
    Ok(npm::is_as_locked(&tree, SOURCE)?.then_some(tree))
}

fn fill(archive: &Archive, tree: &Path) -> Result<()> {
    let root = tree.join("root");
    archive.unpack(&PACKAGES, &root)?;
    remove(&root.join("usr/share/doc"))?;
    fs::write(tree.join("fonts.conf"), FONTS)?;
    write_script(tree, &root)?;
    npm::fill(tree, SOURCE)?;
    // Asked before the tree gets its name: one that lacks a library must not be found by a later run.
    capture(Command::new(tree.join("bin").join(BROWSER)).arg("--version")).map(drop)
}

/// Like those of other programs; besides, libraries of this one lie a directory deeper, and it looks for fonts.
fn write_script(tree: &Path, root: &Path) -> Result<()> {
    let mut libraries = debian::library_directories(root);
    let deeper = libraries.iter().map(|path| path.join("pulseaudio")).filter(|path| path.is_dir());
    libraries.extend(deeper.collect::<Vec<_>>());
    let inside = |path: &Path| format!("$tree/{}", path.strip_prefix(tree).unwrap_or(path).display());
    let list: Vec<_> = libraries.iter().map(|path| inside(path)).collect();
    let script = format!(
        "#!/bin/sh\ntree=${{0%/*}}/..\nexport LD_LIBRARY_PATH=\"{}\" FONTCONFIG_FILE=\"$tree/fonts.conf\"\n\
         exec \"{}\" \"$@\"\n",
        list.join(":"),
        inside(&root.join("usr/lib/chromium").join(BROWSER)),
    );
    let bin = tree.join("bin");
    fs::create_dir(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    let path = bin.join(BROWSER);
    fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}
