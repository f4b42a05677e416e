//! The path of a cgroup to what it is called: container, pod, unit. Pure; only spellings that are known count, the rest is unknown.

use super::shown;

/// What container runtimes call the scope of a container, by its prefix. Monitors of containers have other scopes
/// (`crio-conmon-`, `libpod-conmon-`), and are none.
const SCOPES: [&str; 4] = ["docker-", "cri-containerd-", "crio-", "libpod-"];
/// Directories below which a bare id is that of a container (the driver `cgroupfs` of Docker and of podman's containers).
const PARENTS: [&str; 2] = ["docker", "libpod_parent"];
/// Digits of a container's id, with every runtime.
const ID_DIGITS: usize = 64;

/// How much a cgroup tells of whose something is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Telling {
    /// Its path.
    Path,
    /// A unit.
    Unit,
    /// A container.
    Container,
    /// A pod.
    Pod,
}

/// A cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Path in the hierarchy, from `/` on, with control characters replaced.
    pub path: String,
    /// Id of the innermost container it is in, 64 hexadecimal digits.
    pub container_id: Option<String>,
    /// Uid of the Kubernetes pod it is in.
    pub pod_uid: Option<String>,
    /// The systemd unit it is in, within its container if it is in one.
    pub unit: Option<String>,
}

impl Cgroup {
    /// By its path.
    pub fn of_path(path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let container = parts.iter().enumerate().rev().find_map(|(at, part)| {
            let above = parts.get(..at).unwrap_or_default();
            Some((at, container_id(above, part)?))
        });
        let inside = container.map_or(0, |(at, _)| at + 1);
        Self {
            path: shown(path),
            container_id: container.map(|(_, id)| id.to_owned()),
            pod_uid: parts.iter().rev().find_map(|part| pod_uid(&parts, part)),
            unit: unit(parts.get(inside..).unwrap_or_default()).map(shown),
        }
    }

    /// That of a process, by its `/proc/PID/cgroup`: lines of `HIERARCHY:CONTROLLERS:PATH`. Where there are several hierarchies, the one that
    /// tells most. `None` for a process in no cgroup but the root.
    pub fn of_process(text: &str) -> Option<Self> {
        let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        let cgroups = paths.filter(|path| !matches!(*path, "" | "/")).map(Self::of_path);
        // Of equals the last one, which in `/proc` is the unified hierarchy.
        cgroups.max_by_key(Self::telling)
    }

    /// How much it tells.
    pub const fn telling(&self) -> Telling {
        match (&self.pod_uid, &self.container_id, &self.unit) {
            (Some(_), _, _) => Telling::Pod,
            (None, Some(_), _) => Telling::Container,
            (None, None, Some(_)) => Telling::Unit,
            (None, None, None) => Telling::Path,
        }
    }

    /// What all share that is in the same pod, else in the same container, else in the same cgroup.
    #[must_use]
    pub fn common(&self) -> Self {
        let ends = self.path.match_indices('/').map(|(at, _)| at).chain([self.path.len()]);
        let above = ends.map(|end| Self::of_path(self.path.get(..end).unwrap_or_default()));
        let mut above = above.filter(|above| above.telling() == self.telling());
        match self.telling() {
            Telling::Pod => above.find(|above| above.pod_uid == self.pod_uid),
            Telling::Container => above.find(|above| above.container_id == self.container_id),
            Telling::Unit | Telling::Path => None,
        }
        .unwrap_or_else(|| self.clone())
    }
}

fn container_id<'a>(above: &[&str], part: &'a str) -> Option<&'a str> {
    // What containerd makes when its driver is `cgroupfs` and the kubelet's is `systemd`: `SLICE:cri-containerd:ID`.
    let (part, named) = part.rsplit_once(":cri-containerd:").map_or((part, false), |(_, id)| (id, true));
    if let Some(scope) = part.strip_suffix(".scope") {
        return SCOPES.iter().filter_map(|prefix| scope.strip_prefix(prefix)).find(|id| is_id(id));
    }
    let part = part.strip_prefix("libpod-").unwrap_or(part);
    let parent = above.last().copied().unwrap_or_default();
    let known = named || PARENTS.contains(&parent) || above.iter().any(|above| above.contains("kubepods"));
    (known && is_id(part)).then_some(part)
}

fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && is_hexadecimal(text)
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// From `kubepods-burstable-podUID.slice`, with `_` for `-`, or from `podUID` below `kubepods`. Of a static pod the uid is a hash.
fn pod_uid(parts: &[&str], part: &str) -> Option<String> {
    let in_slice = |part: &str| {
        let (slice, uid) = part.split_once(".slice")?.0.rsplit_once("-pod")?;
        slice.contains("kubepods").then(|| uid.replace('_', "-"))
    };
    let below = || parts.iter().any(|part| part.contains("kubepods"));
    let uid = in_slice(part).or_else(|| part.strip_prefix("pod").filter(|_| below()).map(str::to_owned))?;
    let groups: Vec<usize> = uid.split('-').map(str::len).collect();
    (matches!(groups.as_slice(), [8, 4, 4, 4, 12] | [32]) && is_hexadecimal(&uid.replace('-', "")))
        .then_some(uid)
}

/// The innermost service or scope; else, of users' sessions, the slice.
fn unit<'a>(parts: &[&'a str]) -> Option<&'a str> {
    let ends = |part: &str, ends: &str| part.strip_suffix(ends).is_some_and(|name| !name.is_empty());
    let innermost = parts.iter().rev().find(|part| ends(part, ".service") || ends(part, ".scope"));
    let of_user = || parts.first().filter(|part| **part == "user.slice").and(parts.last());
    innermost.or_else(|| of_user().filter(|part| ends(part, ".slice"))).copied()
}

#[cfg(test)]
mod tests {
    use super::Cgroup;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    const POD: &str = "1b2c3d4e-0000-4111-8222-333344445555";
    const SLICE_POD: &str = "1b2c3d4e_0000_4111_8222_333344445555";
    const STATIC_POD: &str = "0123456789abcdef0123456789abcdef";

    /// Path, container, pod, unit; `ID` and the like stand for what they are.
    const CASES: &[(&str, &str, &str, &str)] = &[
        ("/", "", "", ""),
        ("/system.slice/nginx.service", "", "", "nginx.service"),
        ("/system.slice/nginx.service/worker", "", "", "nginx.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "", "", "getty@tty1.service"),
        ("/system.slice/a\\x2db.service", "", "", "a\\x2db.service"),
        ("/init.scope", "", "", "init.scope"),
        ("/user.slice/user-1000.slice/session-3.scope", "", "", "session-3.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope", "", "", "a.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice", "", "", "user@1000.service"),
        ("/user.slice/user-1000.slice", "", "", "user-1000.slice"),
        ("/machine.slice", "", "", ""),
        ("/system.slice/.service", "", "", ""),
        // Containers, with each runtime and driver.
        ("/system.slice/docker-ID.scope", "ID", "", ""),
        ("/docker/ID", "ID", "", ""),
        ("/system.slice/docker.service/docker/ID", "ID", "", ""),
        ("/machine.slice/libpod-ID.scope/container", "ID", "", ""),
        ("/machine.slice/libpod-conmon-ID.scope", "", "", "libpod-conmon-ID.scope"),
        ("/libpod_parent/libpod-ID", "ID", "", ""),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope", "ID", "", ""),
        // A container with systemd in it, and one within another.
        ("/system.slice/docker-ID.scope/system.slice/ssh.service", "ID", "", "ssh.service"),
        ("/system.slice/docker-ID.scope/docker/OTHER", "OTHER", "", ""),
        // Kubernetes.
        ("/kubepods.slice/kubepods-podSLICE.slice/cri-containerd-ID.scope", "ID", "POD", ""),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podSLICE.slice/crio-ID.scope",
            "ID",
            "POD",
            "",
        ),
        ("/kubepods/besteffort/podPOD/ID", "ID", "POD", ""),
        ("/kubepods/podSTATIC/ID", "ID", "STATIC", ""),
        ("/kubepods.slice/kubepods-podSTATIC.slice/docker-ID.scope", "ID", "STATIC", ""),
        (
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podSLICE.slice/cri-containerd-ID.scope",
            "ID",
            "POD",
            "",
        ),
        ("/system.slice/containerd.service/kubepods-podSLICE.slice:cri-containerd:ID", "ID", "POD", ""),
        ("/kubepods.slice/kubepods-podSLICE.slice", "", "POD", ""),
        ("/kubepods.slice/kubepods-podSLICE.slice/crio-conmon-ID.scope", "", "POD", "crio-conmon-ID.scope"),
        // Look-alikes.
        ("/ID", "", "", ""),
        ("/system.slice/docker-0123.scope", "", "", "docker-0123.scope"),
        ("/docker/buildkit", "", "", ""),
        ("/home/podPOD/x", "", "", ""),
        ("/kubepods/podabc/x", "", "", ""),
        ("/tripod/pods", "", "", ""),
    ];

    #[test]
    fn paths_are_read_as_every_runtime_spells_them() {
        let spelled = |text: &str| {
            let text = text.replace("SLICE", SLICE_POD).replace("STATIC", STATIC_POD).replace("POD", POD);
            text.replace("OTHER", OTHER).replace("ID", ID)
        };
        for (path, container, pod, unit) in CASES {
            let some = |text: &str| (!text.is_empty()).then(|| spelled(text));
            let path = spelled(path);
            let expected = Cgroup {
                path: path.clone(),
                container_id: some(container),
                pod_uid: some(pod),
                unit: some(unit),
            };
            assert_eq!(Cgroup::of_path(&path), expected);
        }
    }

    #[test]
    fn of_a_process_the_hierarchy_counts_that_tells_most() {
        let of = |text: &str| Cgroup::of_process(text).map(|cgroup| cgroup.path);
        assert_eq!(of("0::/system.slice/a.service\n").as_deref(), Some("/system.slice/a.service"));
        // Version 1, and both.
        let pod = format!("/kubepods/besteffort/pod{POD}/{ID}");
        let text = format!("12:memory:{pod}\n1:name=systemd:/system.slice/docker.service\n");
        assert_eq!(of(&text), Some(pod));
        let both = "1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service/worker\n";
        assert_eq!(of(both).as_deref(), Some("/system.slice/a.service/worker"));
        // A colon in a path; another namespace of cgroups; none.
        assert_eq!(of("0::/a:b.service").as_deref(), Some("/a:b.service"));
        let relative = format!("0::/../../kubepods-pod{SLICE_POD}.slice/crio-{ID}.scope");
        assert_eq!(Cgroup::of_process(&relative).and_then(|cgroup| cgroup.pod_uid).as_deref(), Some(POD));
        for nothing in ["", "0::/\n", "0::", "nonsense", "4:memory:/\n0::/\n"] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn what_a_pod_or_a_container_has_in_common_ends_with_it() {
        for (path, common) in [
            (format!("/kubepods/burstable/pod{POD}/{ID}"), format!("/kubepods/burstable/pod{POD}")),
            (
                format!("/kubepods.slice/kubepods-pod{SLICE_POD}.slice/cri-containerd-{ID}.scope/init.scope"),
                format!("/kubepods.slice/kubepods-pod{SLICE_POD}.slice"),
            ),
            (
                format!("/system.slice/docker-{ID}.scope/system.slice/a.service"),
                format!("/system.slice/docker-{ID}.scope"),
            ),
            (
                format!("/system.slice/docker-{ID}.scope/docker/{OTHER}/b"),
                format!("/system.slice/docker-{ID}.scope/docker/{OTHER}"),
            ),
            ("/system.slice/a.service/worker".to_owned(), "/system.slice/a.service/worker".to_owned()),
            ("/mine".to_owned(), "/mine".to_owned()),
        ] {
            assert_eq!(Cgroup::of_path(&path).common(), Cgroup::of_path(&common), "{path}");
        }
    }

    #[test]
    fn a_hostile_path_is_no_more_than_text() {
        let cgroup = Cgroup::of_path("/a\x1b[2J\n.service");
        assert_eq!(cgroup.path, "/a\u{fffd}[2J\u{fffd}.service");
        assert_eq!(cgroup.unit.as_deref(), Some("a\u{fffd}[2J\u{fffd}.service"));
        for path in
            ["", "//", "/é.scope/ü", "/.scope", "/-pod.slice", "/pod", ".slice-pod", ":cri-containerd:"]
        {
            drop(Cgroup::of_path(path));
        }
    }
}
