//! Which cause was expected and which was named: every comparison of this run, as a table.
//!
//! Trials hand in what they compared when all else was as they said. At the end of the run the table is printed, for people and as one
//! line for `cargo xtask kernel-test --write`. A wrong cause that was called certain fails the run, and so does a likely one without an
//! explanation.

use std::collections::BTreeMap;
use std::io::{Write as _, stdout};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// What begins the line for machines.
const LINE: &str = "confusion:";
/// What `peer_abort` says.
const FROM_AFAR: &str = "From afar the TTL says that the peer itself reset, and that is all that `peer_abort` says: why, only its own end knows.";
/// Wrong causes that may be called likely: the truth, what is named, and why it cannot be known better.
const EXPLAINED: [(&str, &str, &str); 10] = [
    ("unread_data", "peer_abort", FROM_AFAR),
    ("linger_abort", "peer_abort", FROM_AFAR),
    ("process_exit", "peer_abort", FROM_AFAR),
    (
        "middlebox",
        "peer_abort",
        "Forged with the TTL that the peer's own would have: nothing on this end tells it from the peer's.",
    ),
    (
        "process_exit",
        "idle_reuse",
        "A process that dies with a quiet connection sends the same FIN as a timer that runs out. Seen from afar, a burst is the hint.",
    ),
    (
        "process_exit",
        "late_data",
        "The same for a connection in use: its FIN does not tell that its process died. Seen from afar, a burst is the hint.",
    ),
    (
        "netfilter_reject",
        "stale_idle",
        "A rule on another host that rejects what it let pass before looks like state that was dropped on the way.",
    ),
    (
        "admin_abort",
        "keepalive_timeout",
        "Before 6.12 the kernel gives no reason, and what `ss -K` ends while its probes are out looks as if they had been in vain.",
    ),
    (
        "peer_overflow",
        "listen_overflow",
        "Both say that the server's accept queue was full: the server is on this host, and its word is taken.",
    ),
    (
        "linger_abort",
        "idle_abort",
        "How a proxy ends an idle flow is seen on its own host only; from afar, an abort after quiet is all that it is.",
    ),
];

/// An event whose truth is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    /// The cause that the trial made.
    pub(crate) truth: String,
    /// The cause that the daemon named.
    pub(crate) named: String,
    /// `certain`, `likely` or `possible`.
    pub(crate) confidence: String,
    /// `reset_sent`, `reset_received`, and so on.
    pub(crate) kind: String,
}

impl Case {
    /// What an event says beside what is true; `None` for one without a verdict.
    pub(crate) fn of(truth: &str, event: &Value) -> Option<Self> {
        let text = |name: &str| event[name].as_str().map(str::to_owned);
        Some(Self {
            truth: truth.to_owned(),
            named: text("cause")?,
            confidence: text("confidence")?,
            kind: text("kind")?,
        })
    }

    /// Why this is no case of being wrong that a run may have; `None` if it may.
    pub(crate) fn offence(&self) -> Option<String> {
        let Self { truth, named, confidence, kind } = self;
        let excused =
            truth == named || confidence == "possible" || confidence == "likely" && self.why().is_some();
        (!excused).then(|| format!("{kind}: {truth} was named {named}, {confidence}"))
    }

    fn why(&self) -> Option<&'static str> {
        let is_it =
            |pair: &&(&str, &str, &str)| (pair.0, pair.1) == (self.truth.as_str(), self.named.as_str());
        EXPLAINED.iter().find(is_it).map(|(_, _, why)| *why)
    }
}

/// As many kinds of cases as there are at most, not as many as were compared.
static TABLE: Mutex<BTreeMap<Case, u64>> = Mutex::new(BTreeMap::new());

/// Takes in what a trial compared.
pub(crate) fn take(cases: impl IntoIterator<Item = Case>) {
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    for case in cases {
        *table.entry(case).or_default() += 1;
    }
}

/// Prints the table, and fails if it has what no run may have.
pub(crate) fn conclude() -> Result<()> {
    let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if table.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = rows(&table).into_iter().map(|(truth, row)| line(truth, &row)).collect();
    let title = "confusion, expected: named certain/likely/possible";
    let cells: Vec<Value> = table
        .iter()
        .map(|(case, count)| {
            let Case { truth, named, confidence, kind } = case;
            let why = if truth == named { None } else { case.why() };
            json!({ "truth": truth, "named": named, "confidence": confidence, "kind": kind, "count": count, "why": why })
        })
        .collect();
    // Without a stdout there is nobody to tell.
    drop(writeln!(stdout(), "\n{title}\n{}\n{LINE} {}", lines.join("\n"), Value::from(cells)));
    let wrong: Vec<_> = table.keys().filter_map(Case::offence).collect();
    ensure!(wrong.is_empty(), "causes that are not so:\n  {}", wrong.join("\n  "));
    Ok(())
}

/// By confidence: certain, likely, possible.
type Counts = [u64; 3];

/// A row for people: only what was named at all.
fn line(truth: &str, row: &BTreeMap<&str, Counts>) -> String {
    let cell = |(named, counts): (&&str, &Counts)| {
        format!("{named} {}", counts.map(|count| count.to_string()).join("/"))
    };
    format!("  {truth:18} {}", row.iter().map(cell).collect::<Vec<_>>().join(", "))
}

fn rows(table: &BTreeMap<Case, u64>) -> BTreeMap<&str, BTreeMap<&str, Counts>> {
    let mut rows = BTreeMap::<&str, BTreeMap<&str, Counts>>::new();
    for (case, count) in table {
        let counts = rows.entry(&case.truth).or_default().entry(&case.named).or_default();
        let [certain, likely, possible] = counts;
        *(match case.confidence.as_str() {
            "certain" => certain,
            "likely" => likely,
            _ => possible,
        }) += count;
    }
    rows
}
