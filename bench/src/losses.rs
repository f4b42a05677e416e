//! What is lost in the highest storm that the machine can make. Counts must not be, ever; the stories of established
//! connections must not be either while strangers' refusals storm.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::load::{Ground, Load, Plan};
use crate::report::{Table, Target};
use crate::{clock, http};

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
        let netns = ground.namespace.inum()?;
        let storm = Plan { load: Load::Storm, rate: None };
        let mut plans = vec![storm; usize::from(workers)];
        plans.push(Plan { load: Load::Linger, rate: Some(RATE) });
        let bursts = ground.run(&plans, length)?;
        let (resets, storms) = bursts.split_last().context("no load")?;
        let refusals: u64 = storms.iter().map(|burst| burst.operations).sum();
        let rate: f64 = storms.iter().map(crate::load::Burst::rate).sum();
        let books = Books::settled(&daemon, netns)?;
        let Books { resets_sent: counted, refused_sent: refused, lost, .. } = books;
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
    /// Resets sent on connections of one namespace.
    pub(crate) resets_sent: u64,
    /// Resets received there.
    pub(crate) resets_received: u64,
    /// Refusals sent there.
    pub(crate) refused_sent: u64,
    /// Stories of resets that found no room, of all namespaces: there is no account per namespace.
    pub(crate) lost: u64,
}

impl Books {
    /// As they are once the daemon has read everything that was told so far. Nothing else happened in the namespace: others
    /// may be busy on the machine.
    pub(crate) fn settled(daemon: &Daemon, netns: u64) -> Result<Self> {
        let status = clock::until("the daemon to have read its ring", LONGEST_CATCH_UP, || {
            let status = daemon.status()?;
            let (mut submitted, mut decoded) = (0, number(&status["undecodable"])?);
            for story in stories(&status)? {
                submitted += number(&story["submitted"])?;
                decoded += number(&story["decoded"])?;
            }
            Ok((submitted == decoded).then_some(status))
        })?;
        let peers = http::json(daemon.address, &format!("/api/v1/peers?limit=1000&netns={netns}"))?;
        let peers = peers["peers"].as_array().context("no peers in /api/v1/peers")?;
        let sum = |name: &str| peers.iter().map(|peer| number(&peer[name])).sum::<Result<u64>>();
        let ports = status["namespaces"].as_array().context("no namespaces in /api/v1/status")?;
        let ours = ports.iter().find(|row| row["netns"] == netns);
        let lost = ["reset_sent", "reset_received"].map(|kind| number(&status["stories"][kind]["lost"]));
        Ok(Self {
            resets_sent: sum("resets_sent")?,
            resets_received: sum("resets_received")?,
            refused_sent: ours.map_or(Ok(0), |row| number(&row["refused_sent"]))?,
            lost: lost.into_iter().sum::<Result<u64>>()?,
        })
    }
}

fn stories(status: &Value) -> Result<impl Iterator<Item = &Value>> {
    Ok(status["stories"].as_object().context("no stories in /api/v1/status")?.values())
}

fn number(value: &Value) -> Result<u64> {
    value.as_u64().context("a number is missing in the daemon's answer")
}
