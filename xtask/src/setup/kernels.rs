//! Kernels of the matrix: Debian's packages of the oldest supported series, the newest, and what is in use between.
//!
//! Whatever the cache has of a series is used, without asking for a newer one; removing it from the cache fetches the newest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::debian::{Archive, Host, Mirror, Suite};
use crate::cache::{Cache, remove};
use crate::process::{note, step};

/// The flavour for virtual machines: few drivers, so small, and everything that the trials need.
const FLAVOUR: &str = "-cloud-amd64";
/// What a kernel consists of; the last two from 6.19 on.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];

/// A series of kernels, and where its packages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    /// As in the version: `6.1`.
    pub(crate) name: &'static str,
    suites: &'static [Suite],
}

/// All of them, oldest first.
pub(crate) const SERIES: [Series; 5] = [
    Series { name: "5.10", suites: &[main("bullseye"), security("bullseye-security")] },
    Series { name: "6.1", suites: &[main("bookworm"), security("bookworm-security")] },
    Series { name: "6.12", suites: &[main("trixie"), security("trixie-security")] },
    Series { name: "6.18", suites: &[main("trixie-backports")] },
    Series { name: "7.2", suites: &[main("trixie-backports")] },
];

const fn main(name: &'static str) -> Suite {
    Suite { mirror: Mirror::Main, name }
}

const fn security(name: &'static str) -> Suite {
    Suite { mirror: Mirror::Security, name }
}

/// A kernel in the cache.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) series: Series,
    directory: PathBuf,
}

impl Kernel {
    /// What is booted.
    pub(crate) fn image(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    /// The tree of its modules.
    pub(crate) fn modules(&self) -> PathBuf {
        self.directory.join("modules")
    }
}

pub(super) fn find_or_fetch(cache: &Cache, wanted: &[Series]) -> Result<Vec<Kernel>> {
    ensure!(cfg!(target_arch = "x86_64"), "the kernel matrix is for x86-64 machines");
    let cached = |series: &Series| cache.newest(&prefix(*series));
    if wanted.iter().any(|series| cached(series).is_none()) {
        step("setup: looking for kernels");
        let _lock = cache.lock()?;
        // Whoever held the lock may have done the work.
        let missing: Vec<_> = wanted.iter().filter(|series| cached(series).is_none()).collect();
        cache.scratch("apt", |scratch| {
            let archive = Archive::open(scratch, Host::This)?;
            for series in missing {
                let fetched = fetch(cache, &archive, *series);
                fetched.with_context(|| format!("a kernel of the series {}", series.name))?;
            }
            Ok(())
        })?;
    }
    let found = |series: &Series| {
        Ok(Kernel { series: *series, directory: cached(series).context("the cache was emptied meanwhile")? })
    };
    wanted.iter().map(found).collect()
}

fn prefix(series: Series) -> String {
    format!("kernel-{}_", series.name)
}

fn fetch(cache: &Cache, archive: &Archive, series: Series) -> Result<()> {
    let archive = archive.with_suites(series.suites, Host::Bare)?;
    let releases = archive.names(PARTS[0])?;
    let releases = releases.iter().filter_map(|name| release_of(name, series.name));
    let Some(release) = releases.max_by_key(|release| numbers_of(release)) else {
        let suites: Vec<_> = series.suites.iter().map(|suite| suite.name).collect();
        bail!("none in {}", suites.join(" or "));
    };
    note(&format!("fetching Linux {release} (20 to 50 MB), once"));
    let mut packages = Vec::new();
    for part in PARTS {
        packages.extend(archive.names(&format!("{part}{release}{FLAVOUR}"))?);
    }
    packages.retain(|name| name.ends_with(FLAVOUR));
    cache.install(&format!("{}{release}", prefix(series)), |growing| {
        let root = growing.join("root");
        archive.unpack_only(&packages, &root)?;
        keep(&root, &format!("{release}{FLAVOUR}"), growing)?;
        remove(&root)
    })?;
    Ok(())
}

/// Image and modules, out of an unpacked tree to where [`Kernel`] has them.
fn keep(root: &Path, release: &str, directory: &Path) -> Result<()> {
    let modules = ["lib/modules", "usr/lib/modules"].map(|place| root.join(place).join(release));
    let images = modules.iter().map(|place| place.join("vmlinuz"));
    let image =
        images.chain([root.join("boot").join(format!("vmlinuz-{release}"))]).find(|path| path.is_file());
    let image = image.with_context(|| format!("no image of {release} in its packages"))?;
    fs::rename(image, directory.join("vmlinuz"))?;
    let modules = modules.into_iter().map(|place| place.join("kernel")).find(|path| path.is_dir());
    Ok(fs::rename(
        modules.with_context(|| format!("no modules of {release} in its packages"))?,
        directory.join("modules"),
    )?)
}

/// The kernel's release, if the package is an image of the series and neither unsigned nor of debugging symbols.
fn release_of<'a>(package: &'a str, series: &str) -> Option<&'a str> {
    let release = package.strip_prefix(PARTS[0])?.strip_suffix(FLAVOUR)?;
    release.strip_prefix(series)?.starts_with('.').then_some(release)
}

/// Every number in a release, for comparison.
fn numbers_of(release: &str) -> Vec<u32> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_the_series_is_told_from_others() {
        assert_eq!(release_of("linux-image-6.1.0-56-cloud-amd64", "6.1"), Some("6.1.0-56"));
        assert_eq!(release_of("linux-image-6.12.9+deb13-cloud-amd64", "6.12"), Some("6.12.9+deb13"));
        assert_eq!(release_of("linux-image-6.12.9+deb13-cloud-amd64", "6.1"), None);
        assert_eq!(release_of("linux-image-6.1.0-56-cloud-amd64-dbg", "6.1"), None);
        assert_eq!(release_of("linux-image-6.1.0-56-cloud-amd64-unsigned", "6.1"), None);
        assert_eq!(release_of("linux-image-6.1-cloud-amd64", "6.1"), None);
    }

    #[test]
    fn releases_compare_by_every_number() {
        assert!(numbers_of("6.12.117+deb13") > numbers_of("6.12.74+deb13"));
        assert!(numbers_of("6.12.115+deb13.1") > numbers_of("6.12.115+deb13"));
        assert!(numbers_of("5.10.0-46") > numbers_of("5.10.0-9"));
    }
}
