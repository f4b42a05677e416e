//! What was typed, set and written, resolved to what the daemon runs on: flag, environment, file, default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::aggregate::Limits;
use crate::alerts::rules::Rules;
use crate::alerts::settings::{AlertsError, AlertsFile};
use crate::cli::RunArgs;
use crate::event_log::settings::{EventLogError, EventLogFile, EventLogSettings};
use crate::kernel::load::Sizes;
use crate::kernel::truth::Budgets;
#[cfg(feature = "kubernetes")]
use crate::kubernetes::settings::{KubernetesFile, KubernetesSettings};
#[cfg(feature = "otlp")]
use crate::otlp::settings::{OtlpFile, OtlpSettings};
use crate::push::settings::{PushError, PushFile, PushSettings};
use crate::selection::Selection;
use crate::selection::settings::{MetricsFile, SelectionError};

/// Loopback: who wants more must say so.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9777";
/// Where the lock is unless it is set: what is gone with a restart of the machine.
pub const DEFAULT_LOCK_FILE: &str = "/run/reset-monitor.lock";
/// Peers per role. 24 bytes of key, 128 of slot and about 60 of hash each: 4 MiB for both.
const DEFAULT_PEERS: u32 = 10_000;
const DEFAULT_REFUSED_PEERS: u32 = 1_000;
const DEFAULT_NETWORKS: u32 = 4_096;
const DEFAULT_PUBLISHED_PEERS: u32 = 200;
const DEFAULT_RETIRE_AFTER_SECONDS: u32 = 600;
/// 1 MiB holds five thousand records.
const DEFAULT_RING_BYTES: u32 = 1 << 20;
/// About 180 bytes each: 12 MiB. Sixty seconds of `TIME_WAIT` fit up to a thousand closes a second.
const DEFAULT_CLOSED_MEMORY: u32 = 65_536;

/// Map sizes without any configuration, for commands that attach for a moment.
pub const DEFAULT_SIZES: Sizes = Sizes {
    budgets: Budgets {
        client: DEFAULT_PEERS,
        server: DEFAULT_PEERS,
        refused: DEFAULT_REFUSED_PEERS,
        networks: DEFAULT_NETWORKS,
    },
    ring_bytes: DEFAULT_RING_BYTES,
    closed_memory: DEFAULT_CLOSED_MEMORY,
};

/// Everything `run` needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where to serve HTTP.
    pub listen: SocketAddr,
    /// Names by which the page and the API may be asked for, besides IP addresses and `localhost`.
    pub allowed_hosts: Vec<String>,
    /// Held while running, so that two daemons do not count at once.
    pub lock_file: PathBuf,
    /// Map sizes.
    pub sizes: Sizes,
    /// Peers with series of their own.
    pub published_peers: u32,
    /// Which those may be.
    pub selection: Selection,
    /// Where events are written; `None` for nowhere.
    pub event_log: Option<EventLogSettings>,
    /// How long a peer must be quiet before it may give up its place.
    pub retire_after: Duration,
    /// Whether open connections of other network namespaces are looked at, too.
    pub enter_namespaces: bool,
    /// What alerts go by. In the file only: a table of numbers is no flag.
    pub alerts: Rules,
    /// Which Alertmanagers are told of them.
    pub push: PushSettings,
    /// Whom names are asked of; `None` for nobody.
    #[cfg(feature = "kubernetes")]
    pub kubernetes: Option<KubernetesSettings>,
    /// Where metrics are sent; `None` for nowhere.
    #[cfg(feature = "otlp")]
    pub otlp: Option<OtlpSettings>,
}

/// The file's form. Unknown keys are errors.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct FileConfig {
    listen: Option<SocketAddr>,
    allowed_hosts: Option<Vec<String>>,
    lock_file: Option<PathBuf>,
    client_peers: Option<u32>,
    server_peers: Option<u32>,
    refused_peers: Option<u32>,
    networks: Option<u32>,
    published_peers: Option<u32>,
    ring_bytes: Option<u32>,
    closed_memory: Option<u32>,
    retire_after: Option<u32>,
    enter_namespaces: Option<bool>,
    #[serde(default)]
    alerts: AlertsFile,
    #[serde(default)]
    push: PushFile,
    #[serde(default)]
    metrics: MetricsFile,
    #[serde(default)]
    event_log: EventLogFile,
    #[serde(default)]
    kubernetes: KubernetesFile,
    #[serde(default)]
    otlp: OtlpFile,
}

/// A section where there is nothing for it: whoever wrote it wants to know.
#[cfg(not(feature = "otlp"))]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct OtlpFile;
#[cfg(not(feature = "kubernetes"))]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct KubernetesFile;

#[cfg(not(feature = "otlp"))]
impl<'de> Deserialize<'de> for OtlpFile {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(not_built_in("otlp"))
    }
}

#[cfg(not(feature = "kubernetes"))]
impl<'de> Deserialize<'de> for KubernetesFile {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(not_built_in("kubernetes"))
    }
}

#[cfg(not(all(feature = "kubernetes", feature = "otlp")))]
fn not_built_in<E: serde::de::Error>(section: &str) -> E {
    E::custom(format!(
        "[{section}] takes a reset-monitor that is built with the cargo feature `{section}`, and this one is not: build it so, or leave \
         the section out"
    ))
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration {}", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key or value that is not known.
    #[error("configuration {}: {message}", .path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and what, on one line.
        message: String,
    },
    /// A number of an alert cannot be meant.
    #[error("configuration {}: {source}", .path.display())]
    Alerts {
        /// Which file.
        path: PathBuf,
        /// Where and what, and what is possible.
        source: AlertsError,
    },
    /// An Alertmanager cannot be told so, or metrics not be sent so.
    #[error("{}{source}", .path.as_ref().map_or_else(String::new, |path| format!("configuration {}: ", path.display())))]
    Push {
        /// Which file, if there is one.
        path: Option<PathBuf>,
        /// Where and what, and what is possible.
        source: PushError,
    },
    /// What is to have series cannot be meant.
    #[error("{}{source}", .path.as_ref().map_or_else(String::new, |path| format!("configuration {}: ", path.display())))]
    Selection {
        /// Which file, if there is one.
        path: Option<PathBuf>,
        /// Where and what, and what is possible.
        source: SelectionError,
    },
    /// Events cannot be written so.
    #[error("{}{source}", .path.as_ref().map_or_else(String::new, |path| format!("configuration {}: ", path.display())))]
    EventLog {
        /// Which file, if there is one.
        path: Option<PathBuf>,
        /// Where and what, and what is possible.
        source: EventLogError,
    },
    /// A number is out of its range.
    #[error("{name} is {value}: it must be {wanted}")]
    Range {
        /// Flag or key.
        name: &'static str,
        /// What was given.
        value: u32,
        /// What is possible.
        wanted: &'static str,
    },
}

impl Config {
    /// Resolves; reads the file that `--config` names, if it does. Flags and environment are one by now: clap prefers flags.
    pub fn resolve(args: &RunArgs) -> Result<Self, ConfigError> {
        let Some(path) = &args.config else {
            return Self::of(args, None, FileConfig::default());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        Self::resolve_text(args, path, &text)
    }

    /// The same with the file's text at hand; `path` is for messages.
    pub fn resolve_text(args: &RunArgs, path: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::of(args, Some(path), FileConfig::parse(path, text)?)
    }

    fn of(args: &RunArgs, path: Option<&Path>, file: FileConfig) -> Result<Self, ConfigError> {
        // Without a file alerts are as they are by default, which can be meant.
        let named = || path.unwrap_or_else(|| Path::new("")).to_owned();
        let alerts = file.alerts.clone().rules();
        let alerts = alerts.map_err(|source| ConfigError::Alerts { path: named(), source })?;
        let wrong = |source| ConfigError::Push { path: path.map(Path::to_owned), source };
        let push = file.push.clone().settings(&args.alertmanagers).map_err(wrong)?;
        let event_log = file.event_log.clone().settings(&args.event_log);
        let event_log =
            event_log.map_err(|source| ConfigError::EventLog { path: path.map(Path::to_owned), source })?;
        let selection = file.metrics.clone().selection(&args.metrics);
        let selection =
            selection.map_err(|source| ConfigError::Selection { path: path.map(Path::to_owned), source })?;
        #[cfg(feature = "otlp")]
        let otlp = file.otlp.clone().settings(args.otlp_endpoint.as_deref()).map_err(wrong)?;
        let pick = |flag: Option<u32>, key: Option<u32>, default| flag.or(key).unwrap_or(default);
        let config = Self {
            listen: args.listen.or(file.listen).unwrap_or_else(default_listen),
            allowed_hosts: match (&args.allowed_hosts, file.allowed_hosts) {
                (typed, _) if !typed.is_empty() => typed.clone(),
                (_, written) => written.unwrap_or_default(),
            },
            lock_file: args.lock_file.clone().or(file.lock_file).unwrap_or_else(|| DEFAULT_LOCK_FILE.into()),
            sizes: Sizes {
                budgets: Budgets {
                    client: pick(args.client_peers, file.client_peers, DEFAULT_PEERS),
                    server: pick(args.server_peers, file.server_peers, DEFAULT_PEERS),
                    refused: pick(args.refused_peers, file.refused_peers, DEFAULT_REFUSED_PEERS),
                    networks: pick(args.networks, file.networks, DEFAULT_NETWORKS),
                },
                ring_bytes: pick(args.ring_bytes, file.ring_bytes, DEFAULT_RING_BYTES),
                closed_memory: pick(args.closed_memory, file.closed_memory, DEFAULT_CLOSED_MEMORY),
            },
            published_peers: pick(
                args.metrics.published_peers,
                file.published_peers,
                DEFAULT_PUBLISHED_PEERS,
            ),
            retire_after: Duration::from_secs(
                pick(args.retire_after, file.retire_after, DEFAULT_RETIRE_AFTER_SECONDS).into(),
            ),
            // One thread keeps a capability for it that can do nearly everything: who wants that must say so.
            enter_namespaces: args.enter_namespaces.or(file.enter_namespaces).unwrap_or(false),
            alerts,
            push,
            selection,
            event_log,
            #[cfg(feature = "kubernetes")]
            kubernetes: file.kubernetes.settings(&args.kubernetes, || {
                rustix::system::uname().nodename().to_string_lossy().into_owned()
            }),
            #[cfg(feature = "otlp")]
            otlp,
        };
        config.check()
    }

    fn check(self) -> Result<Self, ConfigError> {
        let Budgets { client, server, refused, networks } = self.sizes.budgets;
        let in_range = |name, value, low: u32, high: u32, wanted| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::Range { name, value, wanted })
            }
        };
        for (name, value) in [
            ("client-peers", client),
            ("server-peers", server),
            ("refused-peers", refused),
            ("networks", networks),
        ] {
            in_range(name, value, 1, 1_000_000, "between 1 and 1000000")?;
        }
        in_range("published-peers", self.published_peers, 0, 10_000, "at most 10000")?;
        in_range("closed-memory", self.sizes.closed_memory, 256, 1 << 22, "between 256 and 4194304")?;
        let ring_bytes = self.sizes.ring_bytes;
        if !ring_bytes.is_power_of_two() || !(4096..=1 << 28).contains(&ring_bytes) {
            let wanted = "a power of two between 4096 and 268435456";
            return Err(ConfigError::Range { name: "ring-bytes", value: ring_bytes, wanted });
        }
        Ok(self)
    }

    /// The limits that publishing goes by.
    pub const fn limits(&self) -> Limits {
        Limits {
            budgets: self.sizes.budgets,
            published_peers: self.published_peers as usize,
            quiet: self.retire_after,
            closed_memory: self.sizes.closed_places(),
            ring_bytes: self.sizes.ring_bytes,
        }
    }
}

impl FileConfig {
    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.bytes().take(before).filter(|&byte| byte == b'\n').count() + 1;
            let message = format!("line {line}: {}", error.message().replace('\n', " "));
            ConfigError::Parse { path: path.to_owned(), message }
        })
    }
}

fn default_listen() -> SocketAddr {
    // A constant that a test parses.
    DEFAULT_LISTEN.parse().unwrap_or_else(|_never| SocketAddr::from(([127, 0, 0, 1], 9777)))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::alerts::catalog::Alert;
    use crate::cli::{Cli, Command};

    fn args(line: &[&str]) -> RunArgs {
        let words = ["reset-monitor", "run"].iter().chain(line);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Run(args) => args,
            other @ (Command::Check(_)
            | Command::Events(_)
            | Command::Top(_)
            | Command::Peers(_)
            | Command::Explain(_)
            | Command::Timeouts(_)
            | Command::Alerts(_)
            | Command::Probe(_)
            | Command::Listeners(_)
            | Command::Record(_)
            | Command::Replay(_)
            | Command::Completions(_)
            | Command::Man(_)) => panic!("{other:?}"),
        }
    }

    /// A file in the system's temporary directory that is gone with the test.
    struct Written(PathBuf);

    impl Written {
        fn new(name: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("reset-monitor-{}-{name}.toml", std::process::id()));
            std::fs::write(&path, text).unwrap();
            Self(path)
        }

        fn args(&self, more: &[&str]) -> RunArgs {
            let mut line = vec!["--config", self.0.to_str().unwrap()];
            line.extend(more);
            args(&line)
        }
    }

    impl Drop for Written {
        fn drop(&mut self) {
            drop(std::fs::remove_file(&self.0));
        }
    }

    #[test]
    fn without_anything_the_defaults_hold_and_are_on_loopback() {
        let config = Config::resolve(&args(&[])).unwrap();
        assert!(config.listen.ip().is_loopback());
        assert_eq!(config.listen.to_string(), DEFAULT_LISTEN);
        assert_eq!(
            (config.sizes.budgets.client, config.published_peers),
            (DEFAULT_PEERS, DEFAULT_PUBLISHED_PEERS)
        );
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = Written::new("precedence", "client_peers = 11\nserver_peers = 12\nlisten = \"[::1]:1\"\n");
        let config = Config::resolve(&file.args(&["--client-peers", "13"])).unwrap();
        assert_eq!((config.sizes.budgets.client, config.sizes.budgets.server), (13, 12));
        assert_eq!(config.listen.to_string(), "[::1]:1");
        assert_eq!(config.sizes.budgets.networks, DEFAULT_NETWORKS);
    }

    #[test]
    fn other_namespaces_are_entered_only_for_who_says_so() {
        assert!(!Config::resolve(&args(&[])).unwrap().enter_namespaces);
        assert!(Config::resolve(&args(&["--enter-namespaces"])).unwrap().enter_namespaces);
        let file = Written::new("enter", "enter_namespaces = true\n");
        assert!(Config::resolve(&file.args(&[])).unwrap().enter_namespaces);
        assert!(!Config::resolve(&file.args(&["--enter-namespaces=false"])).unwrap().enter_namespaces);
    }

    #[test]
    fn an_unknown_key_and_bad_toml_name_the_file_and_the_line() {
        for (name, text, wanted) in [
            ("unknown", "listen = \"127.0.0.1:1\"\nlissten = 1\n", "line 2: unknown field"),
            ("bad", "listen = [\n", "line 1"),
        ] {
            let file = Written::new(name, text);
            let message = Config::resolve(&file.args(&[])).unwrap_err().to_string();
            assert!(
                message.contains(wanted) && message.contains(name) && !message.contains('\n'),
                "{message}"
            );
        }
    }

    #[test]
    fn numbers_of_alerts_come_from_the_file_and_what_cannot_be_meant_names_file_and_key() {
        let file = Written::new("alerts", "[alerts]\nevery = \"5s\"\n[alerts.ResetBurst]\nthreshold = 7\n");
        let alerts = Config::resolve(&file.args(&[])).unwrap().alerts;
        assert_eq!(
            (alerts.every.as_secs(), alerts.of(Alert::ResetBurst).threshold.to_string()),
            (5, "7".to_owned())
        );
        assert_eq!(Config::resolve(&args(&[])).unwrap().alerts, Rules::default());
        for (name, text, wanted) in [
            ("alert-range", "[alerts.ResetBurst]\nthreshold = 0\n", "alerts.ResetBurst.threshold: it is 0"),
            ("alert-name", "listen = \"[::1]:1\"\n[alerts.Burst]\n", "line 2: unknown field `Burst`"),
            ("alert-key", "[alerts.ResetBurst]\n\nwindo = \"1m\"\n", "line 3: unknown field `windo`"),
            ("alert-time", "[alerts.ResetBurst]\nfor = \"soon\"\n", "line 2: `soon` is no time"),
        ] {
            let file = Written::new(name, text);
            let message = Config::resolve(&file.args(&[])).unwrap_err().to_string();
            assert!(
                message.contains(wanted) && message.contains(name) && !message.contains('\n'),
                "{message}"
            );
        }
    }

    #[cfg(not(feature = "otlp"))]
    #[test]
    fn a_section_for_what_is_not_built_in_is_refused_by_name() {
        for text in ["listen = \"[::1]:1\"\n[otlp]\nendpoint = \"http://a\"\n", "\n[otlp]\n"] {
            let file = Written::new("no-otlp", text);
            let message = Config::resolve(&file.args(&[])).unwrap_err().to_string();
            assert!(message.contains("line 2: [otlp] takes a reset-monitor that is built with"), "{message}");
            assert!(message.contains("feature `otlp`") && !message.contains('\n'), "{message}");
        }
    }

    #[cfg(feature = "otlp")]
    #[test]
    fn where_metrics_are_sent_comes_from_the_flag_or_the_file() {
        let text = "[otlp]\nendpoint = \"http://a:1\"\ninterval = \"15s\"\n";
        let file = Written::new("otlp", text);
        for (flags, name) in [(&[][..], "a:1"), (&["--otlp-endpoint", "https://b"], "b:443")] {
            let otlp = Config::resolve(&file.args(flags)).unwrap().otlp.unwrap();
            assert_eq!((&*otlp.endpoint.name(), otlp.interval.as_secs()), (name, 15));
        }
        assert_eq!(Config::resolve(&args(&[])).unwrap().otlp, None);
        let wrong = Written::new("otlp-wrong", "[otlp]\nendpoint = \"a\"\n");
        let message = Config::resolve(&wrong.args(&[])).unwrap_err().to_string();
        assert!(message.contains("otlp-wrong") && message.contains("otlp.endpoint: `a` is not"), "{message}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = Config::resolve(&args(&["--config", "/does/not/exist"])).unwrap_err().to_string();
        assert!(message.contains("/does/not/exist"), "{message}");
    }

    #[test]
    fn numbers_out_of_range_say_what_is_possible() {
        for (flag, value) in [
            ("--client-peers", "0"),
            ("--ring-bytes", "5000"),
            ("--ring-bytes", "1"),
            ("--closed-memory", "1"),
        ] {
            let message = Config::resolve(&args(&[flag, value])).unwrap_err().to_string();
            assert!(message.contains(&flag[2..]) && message.contains("must be"), "{message}");
        }
    }
}
