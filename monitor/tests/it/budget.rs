//! How many series a host makes: a page with every peer, port and listener that may have series, counted.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use monitor::cause::{CAUSES, Cause};
use monitor::counts::{PeerCounts, PortCounts};
use monitor::event::Direction;
use monitor::metrics::negotiate::Format;
use monitor::metrics::{Page, encode};
use monitor::snapshot::listening::{
    ListenerOverflows, ListenerSeries, Listening, OverflowSeries, Queue, StageCounts,
};
use monitor::snapshot::{
    CauseCounts, IdleHistogram, OpenSeries, PeerLabel, PeerSeries, PortSeries, ProgramRow, ResetDetails,
    Scope, SignalRow, Snapshot,
};
use monitor::timeouts::TimeoutSeries;
use monitor_common::peer::Role;

use crate::exposition::{Family, families, full_page};
use crate::metrics_page::{filled, golden};
use crate::support::{label, signals};

const README: &str = "deploy/prometheus/README.md";

/// Peers with series of their own: the default of `--published-peers`.
const PEERS: u32 = 200;
/// Listeners that may have series (`aggregate/listeners.rs`), and local ports (`aggregate/ports.rs`), beside `other`.
const LISTENERS: u16 = 100;
const PORTS: u16 = 64;
/// Of `enum sk_rst_reason` in 7.2, in round numbers; signals and programs that 7.2 has (docs/kernels.md), likewise.
const REASONS: usize = 40;
const SIGNALS: usize = 20;
const PROGRAMS: usize = 40;

/// How much of what may be there is.
#[derive(Clone, Copy)]
struct Load {
    /// Causes that each peer has seen, in each direction.
    causes: usize,
    /// Whether each peer has a timeout on both sides, and as many others have connections older than the daemon.
    all: bool,
}

/// A busy host: each peer has seen resets of one cause in each direction; a quarter of them has known timeouts.
const BUSY: Load = Load { causes: 1, all: false };
/// The bound.
const MOST: Load = Load { causes: CAUSES, all: true };

fn peers() -> Vec<PeerLabel> {
    let address = |number: u32| match number % 2 {
        0 => IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)),
        _ => IpAddr::V6(Ipv6Addr::from(0x2001_0db8_0001_0002_0003_0004_0005_0000 + u128::from(number))),
    };
    let role = |number: u32| if number % 4 < 2 { Role::Client } else { Role::Server };
    (0..PEERS).map(|number| label(Scope::Address(address(number)), Some(8443), role(number))).collect()
}

/// `other` or `retired` of both roles.
fn both(scope: Scope) -> [PeerLabel; 2] {
    Role::ALL.map(|role| label(scope, None, role))
}

fn page(load: Load) -> Page {
    let base = full_page();
    let own = peers();
    let large = 1_234_567;
    let mut causes = CauseCounts::default();
    causes.received[CAUSES - load.causes..].fill(large);
    causes.sent[CAUSES - load.causes..].fill(large);
    let counts = PeerCounts {
        opened: large,
        closed: large,
        reset: large,
        aborted: large,
        exchanges: large,
        resets_sent: large,
        resets_received: large,
        refused_received: large,
        untold_sent: large,
        untold_received: large,
    };
    let counted = own.iter().copied().chain(both(Scope::Other)).chain(both(Scope::Retired));
    let known = own.iter().take(if load.all { own.len() } else { own.len() / 4 });
    let open = own.iter().copied().chain(both(Scope::Other));
    // Peers whose connections are all older than the daemon, at most as many.
    let older = if load.all { own.as_slice() } else { &[] };
    let address = |number: u16| SocketAddr::from(([10, 0, 0, 9], 1_024 + number));
    let listeners = || (0..LISTENERS).map(address).map(Some).chain([None]);
    let port = |number| PortSeries { port: number, counts: PortCounts::default() };
    let mut idle = IdleHistogram::default();
    idle.observe(Duration::from_mins(1));
    let details = ResetDetails { idle: idle.clone(), ..ResetDetails::default() };
    let idle_causes = if load.all { &Cause::ALL[..] } else { &Cause::ALL[..6] };
    let listening = Listening {
        series: listeners()
            .map(|address| ListenerSeries {
                address,
                queue: Some(Queue { backlog: 0, limit: 4_096 }),
                drops: Some(large),
            })
            .collect(),
        overflows: Some(ListenerOverflows {
            rows: Vec::new(),
            series: listeners()
                .map(|address| OverflowSeries { address, counts: StageCounts::default() })
                .collect(),
            beyond: 1,
        }),
        ..base.snapshot.listening.clone()
    };
    let snapshot = Snapshot {
        series: counted
            .map(|label| {
                let is_one = matches!(label.scope, Scope::Address(_));
                PeerSeries {
                    netns: None,
                    label,
                    counts,
                    causes,
                    details: is_one.then(|| Box::new(details.clone())),
                }
            })
            .collect(),
        timeout_series: known
            .map(|label| TimeoutSeries {
                netns: None,
                label: *label,
                local: Some(Duration::from_secs(55)),
                peer: Some(Duration::from_mins(1)),
                margin_ms: Some(5_000),
            })
            .collect(),
        open_series: open
            .chain(older.iter().map(|label| PeerLabel { port: Some(5_432), ..*label }))
            .map(|label| OpenSeries { netns: None, label, open: 20, idle: 10 })
            .collect(),
        ports: (1..=PORTS).map(Some).chain([None]).map(port).collect(),
        reasons: (0..REASONS)
            .map(|number| {
                let way = if number % 2 == 0 { Direction::Sent } else { Direction::Received };
                (way, Arc::from(format!("SK_RST_REASON_NUMBER_{number}")), large)
            })
            .collect(),
        idle: idle_causes.iter().map(|cause| (*cause, idle.clone())).collect(),
        programs: vec![ProgramRow { name: "receive_reset", missed_runs: Some(0) }; PROGRAMS],
        fills: base.snapshot.fills.iter().cycle().take(11).copied().collect(),
        listening,
        ..Snapshot::clone(&base.snapshot)
    };
    let row = signals().remove(0);
    let signals: Vec<SignalRow> = vec![row; SIGNALS];
    Page { snapshot: Arc::new(snapshot), signals: signals.into(), ..base }
}

/// What a row of the table sums up.
fn group(family: &Family) -> &'static str {
    let has = |label| family.labels.contains_key(label);
    match family.name.as_str() {
        _ if has("peer") && has("cause") => "resets by peer and cause",
        "reset_monitor_peer_idle_timeout_seconds" | "reset_monitor_keepalive_margin_seconds" => {
            "timeouts and margins by peer"
        }
        "reset_monitor_open_connections" | "reset_monitor_idle_connections" => "open connections by peer",
        _ if has("peer") && has("le") => "idle times by peer",
        _ if has("peer") => "counts by peer",
        _ if has("le") => "idle times by cause",
        _ if has("listener") => "listeners",
        _ if has("port") => "local ports",
        _ => "the host and the daemon",
    }
}

const GROUPS: [&str; 9] = [
    "counts by peer",
    "resets by peer and cause",
    "timeouts and margins by peer",
    "open connections by peer",
    "idle times by peer",
    "idle times by cause",
    "listeners",
    "local ports",
    "the host and the daemon",
];

/// Series that `recording.yml` makes of the page's. Six of each peer that is not `retired`, one of each cause, one of each listener and `other`, and seven.
fn recorded(families: &[Family]) -> usize {
    let peers = PEERS as usize + 2;
    let causes: usize =
        families.iter().filter(|family| group(family) == GROUPS[1]).map(|family| family.samples).sum();
    let of_others = causes / (PEERS as usize + 4) * peers;
    6 * peers + of_others + usize::from(LISTENERS) + 1 + 7
}

#[test]
fn the_budget_of_series_is_as_the_readme_says() {
    let pages = [BUSY, MOST].map(page);
    let counted = pages.each_ref().map(families);
    let mut table = "| series of | busy | at most |\n| --- | ---: | ---: |\n".to_owned();
    let mut row = |name: &str, numbers: [usize; 2]| {
        writeln!(table, "| {name} | {} | {} |", numbers[0], numbers[1]).unwrap();
    };
    for name in GROUPS {
        let sum = |families: &Vec<Family>| {
            families.iter().filter(|family| group(family) == name).map(|family| family.samples).sum()
        };
        let sums: [usize; 2] = counted.each_ref().map(sum);
        if sums != [0, 0] {
            row(name, sums);
        }
    }
    let totals =
        counted.each_ref().map(|families| families.iter().map(|family| family.samples).sum::<usize>());
    row("**a page**", totals);
    row("recorded by recording.yml", counted.each_ref().map(|families| recorded(families)));
    let bytes = pages.map(|page| encode(&page, Format::Classic).unwrap().len());
    row("bytes of a page, uncompressed", bytes.map(|bytes| bytes.div_ceil(1_000) * 1_000));
    let readme = std::fs::read_to_string(crate::promtool::root().join(README)).unwrap();
    golden(README, &filled(&readme, "budget", &table));
    let limit: usize = ["scrape-host.yml", "scrape-fleet.yml"]
        .map(|name| {
            let text = std::fs::read_to_string(crate::promtool::root().join("deploy/prometheus").join(name))
                .unwrap();
            let (_, rest) = text.split_once("sample_limit: ").unwrap();
            rest.split_whitespace().next().unwrap().parse().unwrap()
        })
        .into_iter()
        .min()
        .unwrap();
    assert!(totals[1] <= limit, "{} series, and a scrape may have {limit}", totals[1]);
}
