//! What is lost in the highest storm that the machine can make. Counts must not be, ever; the stories of established
//! connections must not be either while strangers' refusals storm.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::clock;
use crate::daemon::Daemon;
use crate::load::{Ground, Load, Plan};
use crate::report::{Table, Target};

/// Of connections that end by a reset, beside the storm.
const RATE: u32 = 500;
/// How long the daemon may take to catch up.
const LONGEST_CATCH_UP: Duration = Duration::from_secs(30);

/// Measures with the smallest ring and with the default one.
pub(crate) fn measure(daemon: &Path, length: Duration, workers: u16) -> Result<Table> {
    let note = format!(
        "For {length:?}: {RATE} connections a second that end by a reset, and raw SYNs to a closed port from {workers} threads \
         as fast as they go. The load's own count against the daemon's."
    );
    let head = [
        "ring",
        "resets sent, made and counted",
        "refusals, made and counted",
        "refusals/s",
        "stories of resets lost",
        "target",
        "",
    ];
    let mut table = Table::new("Losses in a storm", note, &head);
    for (name, options) in [("4 KiB", &["--ring-bytes", "4096"][..]), ("default", &[][..])] {
        eprintln!("==> losses: {name} ring");
        let daemon = Daemon::start(daemon, options)?;
        let mut ground = Ground::create(workers + 1)?;
        let before = Books::read(&daemon)?;
        let storm = Plan { load: Load::Storm, rate: None };
        let mut plans = vec![storm; usize::from(workers)];
        plans.push(Plan { load: Load::Linger, rate: Some(RATE) });
        let bursts = ground.run(&plans, length)?;
        let (resets, storms) = bursts.split_last().context("no load")?;
        let refusals: u64 = storms.iter().map(|burst| burst.operations).sum();
        let rate: f64 = storms.iter().map(crate::load::Burst::rate).sum();
        let after = clock::until("the daemon to have read its ring", LONGEST_CATCH_UP, || {
            Books::read(&daemon).map(|books| (books.submitted == books.decoded).then_some(books))
        })?;
        let counted = after.resets_sent - before.resets_sent;
        let refused = after.refused_sent - before.refused_sent;
        let lost = after.lost - before.lost;
        let missing = resets.operations.abs_diff(counted) + refusals.abs_diff(refused);
        // The smallest ring may lose stories; the default one may not.
        let (wrong, target) = if options.is_empty() {
            (missing + lost, "no count, no story lost")
        } else {
            (missing, "no count lost")
        };
        #[expect(clippy::cast_precision_loss, reason = "small, or wrong anyway")]
        let verdict = Target::AtMost(0.0).verdict_of(wrong as f64);
        table.row([
            name.to_owned(),
            format!("{} / {counted}", resets.operations),
            format!("{refusals} / {refused}"),
            format!("{rate:.0}"),
            lost.to_string(),
            target.to_owned(),
            verdict.to_owned(),
        ]);
        daemon.stop()?;
    }
    Ok(table)
}

/// The daemon's books that matter here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Books {
    /// Resets sent on connections.
    pub(crate) resets_sent: u64,
    /// Refusals sent.
    pub(crate) refused_sent: u64,
    /// Stories of resets, both ways, that found no room.
    pub(crate) lost: u64,
    /// Stories of resets, both ways.
    pub(crate) seen: u64,
    /// Records handed over, of every kind.
    pub(crate) submitted: u64,
    /// Records read, understood or not.
    pub(crate) decoded: u64,
}

impl Books {
    /// As they are now.
    pub(crate) fn read(daemon: &Daemon) -> Result<Self> {
        let status = daemon.status()?;
        let number = |value: &Value| value.as_u64().context("a number is missing in /api/v1/status");
        let resets = |name: &str| -> Result<u64> {
            let stories = &status["stories"];
            Ok(number(&stories["reset_sent"][name])? + number(&stories["reset_received"][name])?)
        };
        let all = |name: &str| -> Result<u64> {
            let stories = status["stories"].as_object().context("no stories in /api/v1/status")?;
            stories.values().map(|story| number(&story[name])).sum()
        };
        Ok(Self {
            resets_sent: number(&status["total"]["resets_sent"])?,
            refused_sent: number(&status["ports_total"]["refused_sent"])?,
            lost: resets("lost")?,
            seen: resets("seen")?,
            submitted: all("submitted")?,
            decoded: all("decoded")? + number(&status["undecodable"])?,
        })
    }
}
