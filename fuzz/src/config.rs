//! The configuration file: any text is a configuration in range or one line that says what is wrong.
//!
//! Input is the text itself. After a byte that no text begins with, it is choices of keys and values instead.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::OnceLock;

use clap::Parser as _;
use monitor::alerts::catalog::Alert;
use monitor::cli::{Cli, Command, RunArgs};
use monitor::config::{Config, ConfigError};
use monitor::timeouts::Service;
use monitor_common::peer::Role;

use crate::choices::{Choices, words};

const FILE: &str = "/etc/reset-monitor.toml";

/// No UTF-8 begins with it.
const CHOICES: u8 = 0xff;

/// The target.
pub fn check(input: &[u8]) {
    match input {
        [CHOICES, choices @ ..] => text(&made_of(&mut Choices(choices))),
        // A file that is no UTF-8 is refused when it is read.
        _ => drop(std::str::from_utf8(input).map(text)),
    }
}

/// A few keys with values that may be theirs.
fn made_of(choices: &mut Choices<'_>) -> String {
    let mut table = toml::Table::new();
    while !choices.is_empty() {
        let key = choices.one_of(keys()).clone();
        if key == "alerts" {
            table.insert(key, alerts(choices).into());
            continue;
        }
        if key == "metrics" {
            table.insert(key, metrics(choices).into());
            continue;
        }
        let value = match choices.byte() % 8 {
            0..=3 => choices.number().into(),
            4 => choices.one_of(&["127.0.0.1:1", "[::]:0", "0.0.0.0:65535", "localhost:1"]).to_owned().into(),
            5 => choices.text().into(),
            6 => (0..choices.byte() % 8).map(|_| choices.text()).collect::<Vec<_>>().into(),
            _ => choices.byte().is_multiple_of(2).into(),
        };
        table.insert(key, value);
    }
    toml::to_string(&table).expect("a table can be written")
}

/// Who has series.
fn metrics(choices: &mut Choices<'_>) -> toml::Table {
    let mut metrics = toml::Table::new();
    for _ in 0..choices.byte() % 8 {
        let key =
            *choices.one_of(&["peers", "except_peers", "networks", "ports", "except_ports", "namespaces"]);
        let entries = (0..choices.byte() % 4).map(|_| match choices.byte() % 4 {
            0 => choices.number().into(),
            1 => choices.text().into(),
            2 => (*choices.one_of(&["10.0.0.0/8", "::1", "0.0.0.0/0@24", "10.0.0.1/8", "::/0@129"])).into(),
            _ => (*choices.one_of(&["own", "443", "8000-8099", "9-8", "0"])).into(),
        });
        metrics.insert(key.to_owned(), entries.collect::<Vec<toml::Value>>().into());
    }
    metrics
}

/// Numbers of a few alerts, for all and for some peers.
fn alerts(choices: &mut Choices<'_>) -> toml::Table {
    let mut alerts = toml::Table::new();
    let mut overrides = Vec::new();
    for _ in 0..choices.byte() % 8 {
        let name = choices.one_of(&Alert::ALL).name();
        let mut rule = toml::Table::new();
        for _ in 0..choices.byte() % 4 {
            let key = *choices.one_of(&["enabled", "threshold", "min_resets", "min_volume", "window", "for"]);
            let value = match choices.byte() % 4 {
                0 => choices.number().into(),
                1 => (f64::from(choices.byte()) / 255.0).into(),
                2 => (*choices.one_of(&["0s", "15s", "5m", "1h", "2h30m", "-1s"])).into(),
                _ => choices.byte().is_multiple_of(2).into(),
            };
            rule.insert(key.to_owned(), value);
        }
        if choices.byte().is_multiple_of(2) {
            let peer = *choices.one_of(&["10.0.0.0/8", "10.1.2.3:5432", ":22", "[::1]:80", "other", "web"]);
            rule.extend([("peer".to_owned(), peer.into()), ("alert".to_owned(), name.into())]);
            overrides.push(toml::Value::from(rule));
        } else {
            alerts.insert(name.to_owned(), rule.into());
        }
    }
    alerts.insert("overrides".to_owned(), overrides.into());
    alerts
}

/// Every word of the error that lists the keys: them, and a few that are none.
fn keys() -> &'static [String] {
    static KEYS: OnceLock<Vec<String>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let error = Config::resolve_text(plain(), Path::new(FILE), "unknown = 1").unwrap_err();
        words(&error.to_string())
    })
}

fn text(text: &str) {
    let file = Path::new(FILE);
    let resolved = Config::resolve_text(plain(), file, text);
    match &resolved {
        Ok(config) => {
            usable(config);
            same_in_other_words(config, text);
        }
        Err(
            error @ (ConfigError::Parse { .. }
            | ConfigError::Alerts { .. }
            | ConfigError::Push { .. }
            | ConfigError::Selection { .. }
            | ConfigError::EventLog { .. }
            | ConfigError::Range { .. }),
        ) => {
            let message = error.to_string();
            assert!(!message.contains('\n') && !message.is_empty(), "{message:?}");
        }
        Err(error @ ConfigError::Read { .. }) => panic!("nothing was read: {error}"),
    }
    // Flags win over every key, also over one that alone would be out of range.
    match Config::resolve_text(flags(), file, text) {
        Ok(config) => {
            usable(&config);
            assert_eq!(config.sizes.budgets.client, 13);
            assert_eq!(config.listen.port(), 1);
            assert!(config.enter_namespaces);
        }
        Err(ConfigError::Parse { .. }) => assert!(matches!(resolved, Err(ConfigError::Parse { .. }))),
        Err(ConfigError::Push { .. }) => {
            assert!(matches!(resolved, Err(ConfigError::Push { .. })));
        }
        Err(ConfigError::EventLog { .. }) => {
            assert!(matches!(resolved, Err(ConfigError::EventLog { .. })));
        }
        Err(ConfigError::Selection { .. }) => {
            assert!(matches!(resolved, Err(ConfigError::Selection { .. })));
        }
        Err(ConfigError::Alerts { .. }) => assert!(matches!(resolved, Err(ConfigError::Alerts { .. }))),
        // Some other key.
        Err(ConfigError::Range { name, .. }) => assert!(resolved.is_err() && name != "client-peers"),
        Err(error @ ConfigError::Read { .. }) => panic!("nothing was read: {error}"),
    }
}

/// What the daemon computes with it at start does not overflow, and makes a map that is not empty.
fn usable(config: &Config) {
    let budgets = config.sizes.budgets;
    assert!(budgets.slots() > budgets.other_slot() && budgets.other_slot() > 0);
    assert!(config.sizes.ring_bytes.is_power_of_two() && config.sizes.ring_bytes >= 4096);
    assert_eq!(config.limits().budgets, budgets);
    let peer = Service { netns: 1, peer: Some(Ipv4Addr::LOCALHOST.into()), port: 80, role: Role::Client };
    if let Some(key) = config.selection.of_service(&peer) {
        assert_eq!((key.label.port, key.label.role), (Some(80), Role::Client));
        assert_eq!(key.netns.is_some(), config.selection.namespace_label);
    }
    for rule in &config.alerts.all {
        assert!(rule.threshold.is_finite() && (rule.window.is_zero() || rule.window >= config.alerts.every));
    }
}

/// How a file is spelt and laid out means nothing.
fn same_in_other_words(config: &Config, text: &str) {
    let table: toml::Table = toml::from_str(text).expect("what is a configuration is TOML");
    let spelt = toml::to_string_pretty(&table).expect("what was read can be written");
    let again = Config::resolve_text(plain(), Path::new(FILE), &spelt);
    assert_eq!(again.expect(&spelt), *config, "{spelt}");
}

/// Nothing typed.
fn plain() -> &'static RunArgs {
    static ARGS: OnceLock<RunArgs> = OnceLock::new();
    ARGS.get_or_init(|| typed(&[]))
}

/// Something typed.
fn flags() -> &'static RunArgs {
    static ARGS: OnceLock<RunArgs> = OnceLock::new();
    ARGS.get_or_init(|| typed(&["--client-peers", "13", "--listen", "127.0.0.1:1", "--enter-namespaces"]))
}

fn typed(flags: &[&str]) -> RunArgs {
    match Cli::try_parse_from(["reset-monitor", "run"].iter().chain(flags)).unwrap().command {
        Command::Run(args) => args,
        other @ (Command::Check(_)
        | Command::Events(_)
        | Command::Explain(_)
        | Command::Peers(_)
        | Command::Top(_)
        | Command::Timeouts(_)
        | Command::Alerts(_)
        | Command::Probe(_)
        | Command::Listeners(_)
        | Command::Record(_)
        | Command::Replay(_)
        | Command::Completions(_)
        | Command::Man(_)) => {
            panic!("{other:?}")
        }
    }
}
