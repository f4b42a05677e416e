//! An image by the OCI image specification 1.1, from nothing: one layer, its configuration, and a manifest, in one archive that
//! `podman load`, `ctr images import` and `skopeo` read. GNU tar and gzip write it; no daemon, registry or base image is asked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cache::remove;
use crate::process::{capture, run as run_process};
use crate::workspace;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What was built, for labels.
#[derive(Debug)]
pub(super) struct About {
    pub(super) version: String,
    /// The commit.
    pub(super) revision: String,
    /// The commit's time, RFC 3339.
    pub(super) created: String,
}

impl About {
    /// Of the commit that is checked out.
    pub(super) fn of_commit() -> Result<Self> {
        let git = |format: &str| -> Result<String> {
            let mut git = Command::new("git");
            git.args(["log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", format]).env("TZ", "UTC");
            Ok(capture(git.current_dir(workspace::root()))?.trim().to_owned())
        };
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: git("--format=%H")?,
            created: git("--format=%cd")?,
        })
    }
}

/// What goes into an image.
#[derive(Debug)]
pub(super) struct Image<'a> {
    pub(super) daemon: &'a Path,
    pub(super) certificates: &'a Path,
    pub(super) about: &'a About,
}

impl Image<'_> {
    /// Writes the archive, and says the manifest's digest, by which a registry knows the image.
    pub(super) fn write(&self, archive: &Path) -> Result<String> {
        let work = archive.with_extension("work");
        remove(&work)?;
        let (root, layout) = (work.join("root"), work.join("layout"));
        self.fill(&root)?;
        let blobs = layout.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("cannot make {}", blobs.display()))?;

        let layer = work.join("layer.tar");
        tar(&root, &layer)?;
        let content = digest(&layer)?;
        // Without the name and time of what it compresses.
        run_process(Command::new("gzip").args(["--no-name", "--best"]).arg(&layer))?;
        let layer = blob(&blobs, &work.join("layer.tar.gz"), LAYER)?;
        let configuration = document(&blobs, &self.configuration(&content), CONFIGURATION)?;
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": configuration, "layers": [layer]});
        let mut manifest = document(&blobs, &manifest, MANIFEST)?;
        let said = manifest["digest"].as_str().unwrap_or_default().to_owned();
        manifest["annotations"] =
            json!({"org.opencontainers.image.ref.name": format!("reset-monitor:{}", self.about.version)});
        manifest["platform"] = json!({"architecture": "amd64", "os": "linux"});
        write(&layout.join("oci-layout"), &json!({"imageLayoutVersion": "1.0.0"}))?;
        write(
            &layout.join("index.json"),
            &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}),
        )?;
        tar(&layout, archive)?;
        remove(&work)?;
        Ok(said)
    }

    /// The files of the image: the daemon, whom it believes, and a place for its lock where the root is not written to.
    fn fill(&self, root: &Path) -> Result<()> {
        let files = [
            ("reset-monitor", self.daemon, 0o755),
            ("etc/ssl/certs/ca-certificates.crt", self.certificates, 0o644),
        ];
        for (name, from, mode) in files {
            let path = root.join(name);
            let directory = path.parent().context("no directory")?;
            fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
            let copied = fs::copy(from, &path)
                .and_then(|_| fs::set_permissions(&path, fs::Permissions::from_mode(mode)));
            copied.with_context(|| format!("cannot copy {} to {}", from.display(), path.display()))?;
        }
        let run = root.join("run");
        fs::create_dir_all(&run).with_context(|| format!("cannot make {}", run.display()))
    }

    /// Root, since a container's other users lose their capabilities when a program is started; which ones root has is the manifest's to say.
    fn configuration(&self, content: &str) -> Value {
        let About { version, revision, created } = self.about;
        json!({
            "created": created,
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": "0:0",
                "Entrypoint": ["/reset-monitor"],
                "Cmd": ["run"],
                "ExposedPorts": {"9777/tcp": {}},
                "StopSignal": "SIGTERM",
                "Labels": {
                    "org.opencontainers.image.title": "reset-monitor",
                    "org.opencontainers.image.description": "Who resets the TCP connections of this host, and why",
                    "org.opencontainers.image.version": version,
                    "org.opencontainers.image.revision": revision,
                    "org.opencontainers.image.created": created,
                    "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [content]},
            "history": [{"created": created, "created_by": "cargo xtask dist"}],
        })
    }
}

/// Archives a directory's files: in one order, without owners and times, with the modes that are set.
fn tar(directory: &Path, archive: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--sort=name",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--format=gnu",
    ]);
    // Whatever the umask: nobody writes, everybody may look.
    tar.args(["--mode=go-w,a+rX"]).env("LC_ALL", "C");
    let mut names = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>())
        .with_context(|| format!("cannot list {}", directory.display()))?;
    names.sort();
    run_process(tar.arg("--file").arg(archive).arg("--directory").arg(directory).args(names))
}

/// `sha256:` and the sum of a file.
fn digest(file: &Path) -> Result<String> {
    let said = capture(Command::new("sha256sum").arg("--zero").arg(file))?;
    let sum = said.split_whitespace().next().context("sha256sum said nothing")?;
    Ok(format!("sha256:{sum}"))
}

/// Moves a file among the blobs, and describes it.
fn blob(blobs: &Path, file: &Path, kind: &str) -> Result<Value> {
    let digest = digest(file)?;
    let size = fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    let place = blobs.join(digest.trim_start_matches("sha256:"));
    fs::rename(file, &place)
        .with_context(|| format!("cannot move {} to {}", file.display(), place.display()))?;
    Ok(json!({"mediaType": kind, "digest": digest, "size": size}))
}

/// The same of a document.
fn document(blobs: &Path, content: &Value, kind: &str) -> Result<Value> {
    let growing: PathBuf = blobs.join("growing");
    write(&growing, content)?;
    blob(blobs, &growing, kind)
}

fn write(path: &Path, content: &Value) -> Result<()> {
    fs::write(path, content.to_string()).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of the test's own.
    fn directory(test: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("xtask-{test}-{}", std::process::id()));
        remove(&directory).unwrap();
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn made_in(directory: &Path) -> (String, Vec<u8>) {
        let file = |name: &str, content: &str| {
            let path = directory.join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let about = About {
            version: "1.2.3".to_owned(),
            revision: "abc".to_owned(),
            created: "2026-01-01T00:00:00Z".to_owned(),
        };
        let (daemon, certificates) = (file("daemon", "a program"), file("certificates", "whom to believe"));
        let archive = directory.join("image.oci.tar");
        let digest =
            Image { daemon: &daemon, certificates: &certificates, about: &about }.write(&archive).unwrap();
        assert_eq!(fs::read_dir(directory).unwrap().count(), 3, "work is left behind");
        (digest, fs::read(archive).unwrap())
    }

    #[test]
    fn the_same_files_make_the_same_image_wherever_and_whenever() {
        let (one, other) = (directory("image-one"), directory("image-other"));
        let first = made_in(&one);
        // Another mode and time of the same content.
        fs::set_permissions(one.join("daemon"), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(first == made_in(&other) && first == made_in(&one));
        for directory in [one, other] {
            remove(&directory).unwrap();
        }
    }

    /// From the index to the files, each by the digest and size that name it.
    #[test]
    fn every_part_is_what_names_it() {
        let directory = directory("image-parts");
        let (digest_said, archive) = made_in(&directory);
        let layout = directory.join("layout");
        fs::create_dir(&layout).unwrap();
        fs::write(layout.join("image.tar"), archive).unwrap();
        run_process(Command::new("tar").args(["--extract", "--file", "image.tar"]).current_dir(&layout))
            .unwrap();
        let read = |descriptor: &Value| {
            let name = descriptor["digest"].as_str().unwrap();
            let path = layout.join("blobs/sha256").join(name.trim_start_matches("sha256:"));
            assert_eq!(digest(&path).unwrap(), name);
            assert_eq!(fs::metadata(&path).unwrap().len(), descriptor["size"].as_u64().unwrap());
            path
        };
        let parse = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let index = parse(&layout.join("index.json"));
        assert_eq!(index["manifests"][0]["digest"], digest_said);
        let manifest = parse(&read(&index["manifests"][0]));
        let configuration = parse(&read(&manifest["config"]));
        assert_eq!(configuration["config"]["Entrypoint"], json!(["/reset-monitor"]));

        let layer = read(&manifest["layers"][0]);
        let plain = layout.join("layer.tar");
        fs::write(layout.join("layer.tar.gz"), fs::read(&layer).unwrap()).unwrap();
        run_process(Command::new("gzip").arg("--decompress").arg(layout.join("layer.tar.gz"))).unwrap();
        assert_eq!(configuration["rootfs"]["diff_ids"], json!([digest(&plain).unwrap()]));
        let listed = capture(
            Command::new("tar").args(["--list", "--verbose", "--numeric-owner", "--file"]).arg(&plain),
        )
        .unwrap();
        let files: Vec<_> = listed
            .lines()
            .map(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                (words[0].to_owned(), words[1].to_owned(), (*words.last().unwrap()).to_owned())
            })
            .filter(|(_, _, name)| !name.ends_with('/'))
            .collect();
        let file = |mode: &str, name: &str| (mode.to_owned(), "0/0".to_owned(), name.to_owned());
        assert_eq!(
            files,
            [file("-rw-r--r--", "etc/ssl/certs/ca-certificates.crt"), file("-rwxr-xr-x", "reset-monitor")]
        );
        remove(&directory).unwrap();
    }
}
