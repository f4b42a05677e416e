//! Programs that the tests call, taken from the machine or from Debian packages unpacked in the cache.
//!
//! A fetched program is reached through a small script that sets the libraries its machine lacks for it alone, so
//! nothing else in a test run sees them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::debian::{self, Archive, Host, Mirror, Suite};
use crate::cache::{Cache, remove as remove_directory};
use crate::process::{capture, find_program, note, prefixed, step};

/// Program, package, what it is for.
const PROGRAMS: [(&str, &str, &str); 19] = [
    ("ip", "iproute2", "network namespaces"),
    ("ss", "iproute2", "the kernel's own view of sockets"),
    ("openssl", "openssl", "a certificate for connections over TLS"),
    ("tcpdump", "tcpdump", "a second witness of resets"),
    // Only for these programs: installing the packages would start servers.
    ("promtool", "prometheus", "checks metrics and alert rules"),
    ("mandoc", "mandoc", "checks the pages of the manual"),
    ("protoc", "protobuf-compiler", "reads what is sent over OTLP"),
    ("prometheus", "prometheus", "scrapes the daemon and evaluates the rules that are shipped"),
    ("prometheus-alertmanager", "prometheus-alertmanager", "what alerts are sent to"),
    ("amtool", "prometheus-alertmanager", "asks it what has come"),
    ("nginx", "nginx", "a server of the lab"),
    ("haproxy", "haproxy", "a proxy of the lab"),
    ("curl", "curl", "a client of the lab, and what the documentation's examples ask with"),
    ("jq", "jq", "reads answers in the documentation's examples"),
    ("redis-server", "redis-server", "a server of the lab"),
    ("nft", "nftables", "address translation in the lab"),
    ("hping3", "hping3", "a device of the lab that forges resets"),
    ("runc", "runc", "runs the container of the DaemonSet"),
    (KUBECTL, KUBECTL, "renders the manifests"),
];
/// Debian 12 has it as of a time without kustomize's components. That of the next release needs nothing but a C library, and no newer one.
const KUBECTL: &str = "kubectl";
const KUBECTL_SUITE: Suite = Suite { mirror: Mirror::Main, name: "trixie" };
/// The strict parser of the metrics format, as a Python module.
const MODULE: (&str, &str) = ("prometheus_client.openmetrics.parser", "python3-prometheus-client");
/// The name of the cached tree.
const CACHED: &str = "tools";

/// What the tests need beside Rust.
#[derive(Debug)]
pub(crate) struct Tools {
    /// Set if something had to be fetched.
    fetched: Option<PathBuf>,
}

impl Tools {
    /// Uses what is there and fetches the rest.
    pub(super) fn find_or_fetch(cache: &Cache) -> Result<Self> {
        let tools = Self { fetched: cache.installed(CACHED) };
        if tools.missing()?.is_empty() {
            return Ok(tools);
        }
        step("setup: looking for the programs that the tests call");
        let _lock = cache.lock()?;
        // Whoever held the lock may have done the work.
        let tools = Self { fetched: cache.installed(CACHED) };
        if tools.missing()?.is_empty() {
            return Ok(tools);
        }
        // Anew and in full, rather than into a tree that others may be using.
        let missing = Self { fetched: None }.missing()?;
        let directory = cache.scratch("apt", |scratch| {
            let archive = Archive::open(scratch, Host::This)?;
            note(&format!("fetching {}, once", missing.join(", ")));
            cache.install(CACHED, |growing| fill(&archive, &missing, growing))
        });
        Ok(Self { fetched: Some(directory.context("test programs")?) })
    }

    /// For people.
    pub(crate) fn name(&self) -> String {
        match &self.fetched {
            Some(directory) => format!("the machine's and {}", directory.display()),
            None => "all from this machine".into(),
        }
    }

    /// Makes the programs and the module visible to a child process.
    pub(crate) fn lend(&self, command: &mut Command) -> Result<()> {
        for (variable, value) in self.environment()? {
            command.env(variable, value);
        }
        Ok(())
    }

    fn environment(&self) -> Result<Vec<(&'static str, OsString)>> {
        let inherited = env::var_os("PATH").unwrap_or_default();
        let ours = self.fetched.iter().map(|directory| directory.join("bin"));
        // `ip` of the system lies where only root looks.
        let path = ours.chain(env::split_paths(&inherited)).chain(["/usr/sbin".into(), "/sbin".into()]);
        let mut environment = vec![("PATH", env::join_paths(path).context("cannot extend PATH")?)];
        let modules =
            self.fetched.as_ref().map(|directory| directory.join("root/usr/lib/python3/dist-packages"));
        if let Some(modules) = modules.filter(|path| path.is_dir()) {
            environment.push(("PYTHONPATH", prefixed("PYTHONPATH", &[modules])?));
        }
        Ok(environment)
    }

    /// The packages that would bring what is still not there.
    fn missing(&self) -> Result<Vec<&'static str>> {
        let there = |program| {
            find_program(program).is_some()
                || self
                    .fetched
                    .as_ref()
                    .is_some_and(|directory| directory.join("bin").join(program).is_file())
        };
        let absent = PROGRAMS.into_iter().filter(|(program, _, _)| !there(program));
        let mut packages: Vec<_> = absent.map(|(_, package, _)| package).collect();
        packages.dedup();
        let mut python = Command::new("python3");
        self.lend(&mut python)?;
        if capture(python.arg("-c").arg(format!("import {}", MODULE.0))).is_err() {
            packages.push(MODULE.1);
        }
        Ok(packages)
    }
}

fn fill(archive: &Archive, packages: &[&str], directory: &Path) -> Result<()> {
    let root = directory.join("root");
    let (kubectl, own): (Vec<&str>, Vec<&str>) = packages.iter().partition(|package| **package == KUBECTL);
    if !own.is_empty() {
        archive.unpack(&own, &root)?;
    }
    if !kubectl.is_empty() {
        let newer = archive.with_suites(&[KUBECTL_SUITE], Host::Bare)?;
        newer.unpack_only(&kubectl.into_iter().map(str::to_owned).collect::<Vec<_>>(), &root)?;
    }
    // Documentation and the assets of a web page that nobody starts: 200 MB of 300.
    remove_directory(&root.join("usr/share"))?;
    let bin = directory.join("bin");
    fs::create_dir(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    for (program, _, _) in PROGRAMS.into_iter().filter(|(_, package, _)| packages.contains(package)) {
        write_script(&bin, program, &root, &debian::unpacked_program(&root, program)?)?;
    }
    // A machine without any Python got one with the module.
    if let Ok(python) = debian::unpacked_program(&root, "python3") {
        write_script(&bin, "python3", &root, &python)?;
    }
    Ok(())
}

/// A script that starts an unpacked program with its libraries, wherever the tree is moved.
pub(super) fn write_script(bin: &Path, name: &str, root: &Path, program: &Path) -> Result<()> {
    let inside = |path: &Path| format!("$root/{}", path.strip_prefix(root).unwrap_or(path).display());
    let libraries: Vec<_> = debian::library_directories(root).iter().map(|path| inside(path)).collect();
    let script = format!(
        "#!/bin/sh\nroot=${{0%/*}}/../root\n\
         export LD_LIBRARY_PATH=\"{}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\"\nexec \"{}\" \"$@\"\n",
        libraries.join(":"),
        inside(program),
    );
    let path = bin.join(name);
    fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}
