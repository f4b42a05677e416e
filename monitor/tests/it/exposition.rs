//! The metrics page, and what it says when it is read back: samples and families.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use monitor::cause::Cause;
use monitor::event::Direction;
use monitor::metrics::negotiate::Format;
use monitor::metrics::process::ProcessRow;
use monitor::metrics::{Page, encode};
use monitor::push::settings::PushFile;
use monitor::push::{Account, pushers};
use monitor::snapshot::{ResetDetails, Snapshot};

use crate::alerts::report;
use crate::support::{hooked_snapshot, signals};

pub(crate) fn page(snapshot: Snapshot) -> Page {
    Page {
        names: Some(monitor::names::Fullness::default()),
        snapshot: Arc::new(snapshot),
        signals: signals().into(),
        alerts: Arc::new(report()),
        pushed: Arc::default(),
        exported: None,
        logged: None,
        version: "0.1.0".to_owned(),
        kernel: "6.18.1-test".to_owned(),
        process: Some(ProcessRow {
            start_seconds: Some(1_795_000_000.25),
            cpu_seconds: 1.5,
            resident_bytes: 1 << 24,
            virtual_bytes: 1 << 30,
            open_fds: Some(12),
            max_fds: None,
        }),
    }
}

/// With everything known, so that no family is left out.
pub(crate) fn full_page() -> Page {
    let page = page(hooked_snapshot());
    let process = page.process.map(|process| ProcessRow { max_fds: Some(1024), ..process });
    let exported = pushed(&["http://10.0.0.9:4318"]).first().cloned();
    Page {
        process,
        pushed: pushed(&["http://10.0.0.9:9093"]),
        exported,
        logged: Some(Arc::default()),
        ..page
    }
}

/// What was sent to these instances of Alertmanager: nothing so far.
pub(crate) fn pushed(urls: &[&str]) -> Arc<[Arc<Account>]> {
    let urls: Vec<String> = urls.iter().copied().map(str::to_owned).collect();
    let settings = PushFile::default().settings(&urls).unwrap();
    pushers(&settings, "node-7").into_iter().map(|(_, account)| account).collect()
}

/// Of two resets, one with an idle time.
pub(crate) fn details() -> ResetDetails {
    let mut details = ResetDetails::default();
    details.observe(Direction::Sent, Cause::LingerAbort, 7, None);
    details.observe(Direction::Received, Cause::Other, 9, Some(Duration::from_mins(1)));
    details
}

/// A sample line.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// Every sample of a page. Panics on anything that is not well-formed.
pub(crate) fn samples(text: &str) -> Vec<Sample> {
    text.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

pub(crate) fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
        "{line}"
    );
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (key, after) = rest.split_once("=\"").unwrap();
            let (value, after) = unescape(after);
            assert!(labels.insert(key.to_owned(), value).is_none(), "{line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = rest.strip_prefix('}').unwrap();
    }
    let value = rest.strip_prefix(' ').unwrap();
    // Without the exemplar.
    let value = value.split_once(" # ").map_or(value, |(value, _)| value);
    Sample { name: name.to_owned(), labels, value: value.parse().unwrap() }
}

/// A label value up to its closing quote, and what follows.
fn unescape(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return (value, &text[index + 1..]),
            '\\' => value.push(match characters.next().unwrap().1 {
                'n' => '\n',
                other @ ('\\' | '"') => other,
                other => panic!("unknown escape {other}"),
            }),
            plain => value.push(plain),
        }
    }
    panic!("no closing quote in {text}");
}

/// A family, named as in queries.
#[derive(Debug)]
pub(crate) struct Family {
    /// With `_total` and `_info`, but without `_bucket`.
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) unit: Option<String>,
    pub(crate) help: String,
    /// Every label that one of its samples has, with the values that were seen.
    pub(crate) labels: BTreeMap<String, Vec<String>>,
    pub(crate) samples: usize,
}

/// The families of a page in their order: names and types from text format 0.0.4, units from `OpenMetrics`.
pub(crate) fn families(page: &Page) -> Vec<Family> {
    let classic = encode(page, Format::Classic).unwrap();
    let open = encode(page, Format::OpenMetrics100).unwrap();
    let units: BTreeMap<&str, &str> =
        open.lines().filter_map(|line| line.strip_prefix("# UNIT ")?.split_once(' ')).collect();
    let mut families: Vec<Family> = Vec::new();
    for line in classic.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            let unit = units.get(name).or_else(|| units.get(name.strip_suffix("_total")?));
            families.push(Family {
                name: name.to_owned(),
                kind: String::new(),
                unit: unit.map(|unit| (*unit).to_owned()),
                help: help.to_owned(),
                labels: BTreeMap::new(),
                samples: 0,
            });
            continue;
        }
        let family = families.last_mut().unwrap();
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            rest.split_once(' ').unwrap().1.clone_into(&mut family.kind);
            continue;
        }
        family.samples += 1;
        for (label, value) in sample(line).labels {
            let seen = family.labels.entry(label).or_default();
            if !seen.contains(&value) {
                seen.push(value);
            }
        }
    }
    families
}
