//! The container of the `DaemonSet` as an OCI runtime takes it: what a kubelet and containerd make of the manifest.
//!
//! Left out is the runtime's seccomp profile: it is part of containerd, CRI-O and Docker, and runc has none of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::machine;

const MANIFEST: &str = include_str!("../../../../deploy/kubernetes/base/daemonset.yaml");
/// Where the image has the daemon.
const DAEMON: &str = "/reset-monitor";
/// What a kubelet knows of its node: the only field that the manifest may ask for.
const NODE_ADDRESS: &str = "status.hostIP";

/// The pod's template, with what a trial changes.
#[derive(Clone, Debug)]
pub(super) struct Pod(Value);

impl Pod {
    /// As it is shipped.
    pub(super) fn shipped() -> Result<Self> {
        let mut manifest: Value = serde_saphyr::from_str(MANIFEST)?;
        Ok(Self(manifest["spec"]["template"]["spec"].take()))
    }

    fn container(&self) -> &Value {
        &self.0["containers"][0]
    }

    /// Without a volume and its mount.
    pub(super) fn without(mut self, volume: &str) -> Result<Self> {
        for place in ["/volumes", "/containers/0/volumeMounts"] {
            let list = self.0.pointer_mut(place).and_then(Value::as_array_mut).context("no list")?;
            let before = list.len();
            list.retain(|one| one["name"] != volume);
            ensure!(list.len() + 1 == before, "the manifest has no volume {volume}");
        }
        Ok(self)
    }

    /// With a variable of its own.
    pub(super) fn with(mut self, name: &str, value: &str) -> Result<Self> {
        let list = self.0["containers"][0]["env"].as_array_mut().context("no variables")?;
        list.retain(|one| one["name"] != name);
        list.push(json!({"name": name, "value": value}));
        Ok(self)
    }

    /// Seconds from SIGTERM to SIGKILL.
    pub(super) fn grace(&self) -> Result<u64> {
        self.0["terminationGracePeriodSeconds"].as_u64().context("no grace period")
    }

    /// Where a probe asks.
    pub(super) fn probe(&self, name: &str) -> Result<&str> {
        self.container()[name]["httpGet"]["path"].as_str().with_context(|| format!("no {name}"))
    }

    /// Its capabilities by their usual names.
    pub(super) fn capabilities(&self) -> Result<Vec<String>> {
        let capabilities = &self.container()["securityContext"]["capabilities"];
        ensure!(capabilities["drop"] == json!(["ALL"]), "those of the runtime's default would be left");
        Ok(texts(&capabilities["add"])?.iter().map(|name| format!("CAP_{name}")).collect())
    }

    /// The user it runs as.
    pub(super) fn user(&self) -> Result<u32> {
        number(&self.container()["securityContext"]["runAsUser"])
    }

    /// Variables, with earlier ones put in where later ones name them.
    pub(super) fn variables(&self, node_address: &str) -> Result<BTreeMap<String, String>> {
        let mut variables = BTreeMap::new();
        for variable in self.container()["env"].as_array().context("no variables")? {
            let name = variable["name"].as_str().context("a variable without a name")?;
            let value = if let Some(value) = variable["value"].as_str() {
                value.to_owned()
            } else {
                let field = &variable["valueFrom"]["fieldRef"]["fieldPath"];
                ensure!(field == NODE_ADDRESS, "nobody knows {field} here");
                node_address.to_owned()
            };
            let put_in = |value: String, (name, known): (&String, &String)| {
                value.replace(&format!("$({name})"), known)
            };
            let value = variables.iter().fold(value, put_in);
            variables.insert(name.to_owned(), value);
        }
        Ok(variables)
    }

    /// Writes a bundle for it: `config.json`, and the root directory.
    pub(super) fn write_to(&self, directory: &Path, cgroup: &str, node_address: &str) -> Result<()> {
        put_daemon(directory)?;
        let config = self.config(cgroup, node_address)?;
        fs::write(directory.join("config.json"), config.to_string()).context("cannot write the bundle")
    }

    fn config(&self, cgroup: &str, node_address: &str) -> Result<Value> {
        let (container, pod) = (self.container(), &self.0);
        let context = &container["securityContext"];
        ensure!(context["privileged"] == false, "a privileged container is another one");
        let mut arguments = vec![DAEMON];
        arguments.extend(texts(&container["args"])?);
        let variables = self.variables(node_address)?;
        let environment: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let capabilities = self.capabilities()?;
        // The host's are used where the pod says so; nothing else of the host is.
        let mut namespaces = vec!["mount", "ipc", "cgroup"];
        for (host, own) in [("hostNetwork", ["network", "uts"].as_slice()), ("hostPID", &["pid"])] {
            if pod[host] != true {
                namespaces.extend(own);
            }
        }
        let namespaces: Vec<_> = namespaces.iter().map(|kind| json!({"type": kind})).collect();
        let memory = bytes(&container["resources"]["limits"]["memory"])?;
        Ok(json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": self.user()?, "gid": number(&context["runAsGroup"])?},
                "args": arguments,
                "env": environment,
                "cwd": "/",
                "noNewPrivileges": context["allowPrivilegeEscalation"] == false,
                "capabilities": {
                    "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
                },
            },
            "root": {"path": "rootfs", "readonly": context["readOnlyRootFilesystem"] == true},
            "mounts": self.mounts()?,
            "linux": {
                "namespaces": namespaces,
                "cgroupsPath": cgroup,
                "resources": {"memory": {"limit": memory}},
                "maskedPaths": MASKED,
                "readonlyPaths": READ_ONLY,
            },
        }))
    }

    /// What every container has, then the pod's volumes.
    fn mounts(&self) -> Result<Vec<Value>> {
        let mut mounts = usual_mounts();
        for mount in self.container()["volumeMounts"].as_array().context("no mounts")? {
            let volumes = self.0["volumes"].as_array().context("no volumes")?;
            let volume =
                volumes.iter().find(|volume| volume["name"] == mount["name"]).context("no volume")?;
            let access = if mount["readOnly"] == true { "ro" } else { "rw" };
            let place = &mount["mountPath"];
            mounts.push(if let Some(path) = volume["hostPath"]["path"].as_str() {
                json!({"destination": place, "type": "bind", "source": path, "options": ["rbind", "rprivate", access]})
            } else {
                let empty = &volume["emptyDir"];
                ensure!(empty["medium"] == "Memory", "a volume of another kind: {volume}");
                let size = format!("size={}", bytes(&empty["sizeLimit"])?);
                json!({"destination": place, "type": "tmpfs", "source": "tmpfs", "options": [size, "mode=0777", access]})
            });
        }
        Ok(mounts)
    }
}

/// A bundle whose container could only tell its version.
pub(super) fn write_plain(directory: &Path, cgroup: &str) -> Result<()> {
    put_daemon(directory)?;
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": [DAEMON, "--version"], "cwd": "/"},
        "root": {"path": "rootfs", "readonly": true},
        "mounts": usual_mounts(),
        "linux": {
            "namespaces": [{"type": "mount"}, {"type": "ipc"}, {"type": "cgroup"}],
            "cgroupsPath": cgroup,
            "resources": {"memory": {"limit": 192_u64 << 20}},
        },
    });
    fs::write(directory.join("config.json"), config.to_string()).context("cannot write the bundle")
}

/// The daemon in a root directory with nothing else but the libraries it needs.
fn put_daemon(directory: &Path) -> Result<()> {
    let below = |place: &str| -> Result<PathBuf> {
        let target = directory.join("rootfs").join(place.trim_start_matches('/'));
        fs::create_dir_all(target.parent().context("no directory")?)?;
        Ok(target)
    };
    let target = below(DAEMON)?;
    // It is large, and usually on the same file system.
    if fs::hard_link(machine::daemon(), &target).is_err() {
        fs::copy(machine::daemon(), &target).context("cannot copy the daemon")?;
    }
    for library in libraries(machine::daemon())? {
        fs::copy(&library, below(&library)?).with_context(|| format!("cannot copy {library}"))?;
    }
    Ok(())
}

/// Of `/proc` and `/sys`, what containerd hides.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// What it lets nobody write to.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// As containerd makes them.
fn usual_mounts() -> Vec<Value> {
    let mount = |place: &str, kind: &str, options: &[&str]| json!({"destination": place, "type": kind, "source": kind, "options": options});
    let quiet = ["nosuid", "noexec", "nodev"];
    vec![
        mount("/proc", "proc", &quiet),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &quiet),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ]
}

fn texts(list: &Value) -> Result<Vec<&str>> {
    let list = list.as_array().context("no list")?;
    list.iter().map(|one| one.as_str().context("no text")).collect()
}

fn number(value: &Value) -> Result<u32> {
    Ok(value.as_u64().context("no number")?.try_into()?)
}

/// Of `192Mi`.
fn bytes(quantity: &Value) -> Result<u64> {
    let megabytes = quantity.as_str().and_then(|text| text.strip_suffix("Mi")).context("no mebibytes")?;
    Ok(megabytes.parse::<u64>()? << 20)
}

/// What the dynamic loader takes for a program, and itself. None for a static one.
fn libraries(program: &str) -> Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).output().context("cannot run `ldd` (package libc-bin)")?;
    let lines = String::from_utf8(output.stdout)?;
    let path = |line: &str| {
        line.split_whitespace()
            .find(|word| word.starts_with('/'))
            .map(|path| path.trim_end_matches(':').to_owned())
    };
    Ok(lines.lines().filter(|line| !line.contains("not a dynamic executable")).filter_map(path).collect())
}
