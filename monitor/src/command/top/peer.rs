//! A peer as the table knows it: its name, its counts, and how fast they grow.

use std::collections::HashMap;
use std::fmt;

use jiff::Timestamp;

use crate::view::{CountsView, PeerView};

/// What makes a peer the same one in two answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Address, network, `other` or `retired`.
    pub peer: String,
    /// Service port; `None` for `other` and `retired`.
    pub port: Option<u16>,
    /// Our role.
    pub role: String,
    /// Network namespace.
    pub netns: Option<u32>,
}

impl Key {
    /// Of a row.
    pub fn of(peer: &PeerView) -> Self {
        Self { peer: peer.peer.clone(), port: peer.port, role: peer.role.clone(), netns: peer.netns }
    }

    /// As query parameters, each with a leading `&`. What came in an answer is not trusted to be free of others.
    pub fn to_query(&self) -> String {
        let Self { peer, port, role, netns } = self;
        let plain = |text: &str| -> String {
            text.chars().filter(|part| part.is_ascii_alphanumeric() || ".:/_".contains(*part)).collect()
        };
        let mut query = format!("&peer={}&role={}", plain(peer), plain(role));
        query.extend(port.map(|port| format!("&port={port}")));
        query.extend(netns.map(|netns| format!("&netns={netns}")));
        query
    }
}

impl fmt::Display for Key {
    /// As `explain` takes it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => out.write_str(&self.peer),
            Some(port) if self.peer.contains(':') => write!(out, "[{}]:{port}", self.peer),
            Some(port) => write!(out, "{}:{port}", self.peer),
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its counts.
    pub peer: PeerView,
    /// Who it is.
    pub key: Key,
    /// Resets in a second; `None` until it was seen twice.
    pub rate: Option<f64>,
}

impl Row {
    /// Whether it says anything: `other` and `retired` are always there.
    pub fn is_news(&self) -> bool {
        self.peer.port.is_some()
            || self.peer.counts != CountsView::default()
            || self.peer.open.is_some_and(|open| open > 0)
    }
}

/// How fast resets grow: the difference to an earlier answer. Holds one number for each row of it.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    base: HashMap<Key, u64>,
    taken: Option<Timestamp>,
    latest: HashMap<Key, f64>,
}

impl Rates {
    /// Rows of an answer that was taken then. One that comes before `least` seconds have passed changes no rate: the difference would be noise.
    pub fn rows(&mut self, peers: Vec<PeerView>, taken: Timestamp, least: f64) -> Vec<Row> {
        let passed = self.taken.map(|before| (taken - before).total(jiff::Unit::Second).unwrap_or(0.0));
        let keyed: Vec<(Key, PeerView)> = peers.into_iter().map(|peer| (Key::of(&peer), peer)).collect();
        if passed.is_none_or(|passed| passed >= least || passed < 0.0) {
            let rate = |key: &Key, now: u64| {
                // Fewer than before: another daemon, which began anew.
                let more = now.checked_sub(*self.base.get(key)?)?;
                passed.filter(|passed| *passed > 0.0).map(|passed| per_second(more, passed))
            };
            self.latest = keyed
                .iter()
                .filter_map(|(key, peer)| Some((key.clone(), rate(key, resets(&peer.counts))?)))
                .collect();
            self.base = keyed.iter().map(|(key, peer)| (key.clone(), resets(&peer.counts))).collect();
            self.taken = Some(taken);
        }
        keyed
            .into_iter()
            .map(|(key, peer)| {
                let rate = self.latest.get(&key).copied();
                Row { peer, key, rate }
            })
            .collect()
    }
}

/// Sent and received.
pub const fn resets(counts: &CountsView) -> u64 {
    counts.resets_sent.saturating_add(counts.resets_received)
}

/// How many in each of so many seconds.
#[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
pub fn per_second(number: u64, seconds: f64) -> f64 {
    number as f64 / seconds
}
