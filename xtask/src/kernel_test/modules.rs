//! A kernel's modules for a virtual machine: those wanted and all that they need, decompressed.
//!
//! Which others a module needs stands in itself; the table of a whole tree is made at installation, and nothing is installed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// For sockets and pairs of namespaces, and for trials that load netfilter.
const WANTED: [&str; 10] = [
    "tcp_diag",
    "veth",
    "nf_conntrack",
    "nf_tables",
    "nft_chain_nat",
    "nft_ct",
    "nft_masq",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
];

/// A module as the kernel takes it.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) needed: Vec<String>,
    pub(super) content: Vec<u8>,
}

/// Reads them from a tree of modules.
pub(super) fn read(tree: &Path) -> Result<BTreeMap<String, Module>> {
    let mut files = BTreeMap::new();
    find(tree, &mut files)?;
    let mut modules = BTreeMap::new();
    let mut wanted: Vec<String> = WANTED.map(str::to_owned).to_vec();
    while let Some(name) = wanted.pop() {
        if modules.contains_key(&name) {
            continue;
        }
        let path = files.get(&name).with_context(|| format!("no module {name} in {}", tree.display()))?;
        let content = content(path).with_context(|| format!("cannot read {}", path.display()))?;
        let needed = needed(&content).with_context(|| format!("{name} does not say what it needs"))?;
        wanted.extend(needed.iter().cloned());
        modules.insert(name, Module { needed, content });
    }
    Ok(modules)
}

/// Every module below a directory by the kernel's name for it, which has no hyphens.
fn find(directory: &Path, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            find(&path, found)?;
        } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            found.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn content(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path)?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => Ok(bytes),
        Some("xz") => {
            let mut content = Vec::new();
            lzma_rs::xz_decompress(&mut bytes.as_slice(), &mut content)
                .map_err(|error| anyhow::anyhow!("{error:?}"))?;
            Ok(content)
        }
        _ => bail!("an unknown compression"),
    }
}

/// The module's own words: `depends=a,b` between NUL bytes.
fn needed(content: &[u8]) -> Option<Vec<String>> {
    let line = content.split(|&byte| byte == 0).find_map(|line| line.strip_prefix(b"depends="))?;
    let names = std::str::from_utf8(line).ok()?.split(',').filter(|name| !name.is_empty());
    Some(names.map(|name| name.replace('-', "_")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_what_it_needs() {
        let said = |bytes: &[u8]| needed(bytes);
        assert_eq!(
            said(b"\x7fELF\0license=GPL\0depends=nf-tables,x_tables\0name=a\0").unwrap(),
            ["nf_tables", "x_tables"]
        );
        assert_eq!(said(b"\0depends=\0").unwrap(), [""; 0]);
        assert_eq!(said(b"\0softdepends=a\0"), None);
    }
}
