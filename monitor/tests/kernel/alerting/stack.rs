//! A real Prometheus with the rules that are shipped, and a real Alertmanager. Both on loopback of the calling thread's namespace.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::daemon::Scratch;
use crate::lab::Program;
use crate::prometheus::Prometheus;

/// How long rules look back, and for how long something must hold, in seconds: what is minutes for users. What is made within a few
/// seconds is seen in part as it comes and goes, which may not last.
pub(super) const WINDOW: u32 = 25;
pub(super) const FOR: u32 = 12;
/// And for how long an alert goes on when nothing holds any more.
pub(super) const HOLD: u32 = 5;

/// Debian's Alertmanager reads its templates where an installation puts them, and an unpacked one has them elsewhere. It is to notify
/// nobody, so empty ones do.
const WITH_TEMPLATES: &str = "mount -t tmpfs none /usr/share
    mkdir -p /usr/share/prometheus/alertmanager
    touch /usr/share/prometheus/alertmanager/default.tmpl /usr/share/prometheus/alertmanager/email.tmpl
    exec \"$0\" \"$@\"";

/// A running Alertmanager.
#[derive(Debug)]
pub(super) struct Alertmanager {
    pub(super) url: String,
    port: u16,
    _program: Program,
}

impl Alertmanager {
    /// Starts one that notifies nobody.
    pub(super) fn start(files: &Scratch) -> Result<Self> {
        let config = files.file("alertmanager.yml")?;
        fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")?;
        let port = 9093;
        let mut program = Program::start(
            "unshare",
            &[
                "--mount",
                "sh",
                "-ec",
                WITH_TEMPLATES,
                "prometheus-alertmanager",
                &format!("--config.file={config}"),
                &format!("--storage.path={}", files.file("alertmanager")?),
                &format!("--web.listen-address=127.0.0.1:{port}"),
                // No cluster.
                "--cluster.listen-address=",
            ],
        )?;
        program.until_listening(port)?;
        Ok(Self { url: format!("http://127.0.0.1:{port}"), port, _program: program })
    }

    /// What it holds of an alert, by amtool, each with its labels.
    pub(super) fn alerts(&self, name: &str) -> Result<Vec<Value>> {
        let output = Command::new("amtool")
            .args(["--alertmanager.url", &self.url, "alert", "query", "-o", "json"])
            .arg(format!("alertname={name}"))
            .output()
            .context("cannot run amtool; `cargo xtask test` provides it")?;
        ensure!(output.status.success(), "amtool: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// A Prometheus that scrapes this daemon every second, and evaluates its rules as often.
pub(super) fn prometheus(files: &Scratch, daemon: SocketAddr, manager: &Alertmanager) -> Result<Prometheus> {
    let manager = SocketAddr::from((Ipv4Addr::LOCALHOST, manager.port));
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: [recording.yml, alerts.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{manager}']}}]}}]}}\n\
         scrape_configs:\n- {{job_name: reset-monitor, static_configs: [{{targets: ['{daemon}']}}]}}\n"
    );
    Prometheus::start(files, &config, quick)
}

/// The same rules in less time.
fn quick(rules: &str) -> String {
    let seconds = |seconds: u32| format!("{seconds}s");
    [
        ("offset 10m", format!("offset {}", seconds(WINDOW))),
        ("time() - 600", format!("time() - {WINDOW}")),
        ("interval: 30s", "interval: 1s".to_owned()),
        ("interval: 15s", "interval: 1s".to_owned()),
        ("for: 10m", format!("for: {}", seconds(FOR))),
        ("keep_firing_for: 5m", format!("keep_firing_for: {}", seconds(HOLD))),
    ]
    .iter()
    .fold(rules.to_owned(), |rules, (long, short)| rules.replace(long, short))
}
