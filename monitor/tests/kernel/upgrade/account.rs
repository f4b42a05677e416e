//! What Prometheus knows after a daemon was replaced, beside what the kernel has counted.

use std::io::{Write as _, stderr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::{INTERVAL, Life, Load, exact, only};
use crate::again::NotAsMeant;
use crate::daemon::Daemon;
use crate::exposition::Counters;
use crate::prometheus::{Prometheus, Series};
use crate::wait;

/// The load is over: everything is in Prometheus, or lost.
pub(super) fn judge(load: &Load<'_>, prometheus: &Prometheus, lives: &[Life], daemon: &Daemon) -> Result<()> {
    let sent = load.sent()?;
    let counted = Counters::parse(&daemon.api.metrics()?)?;
    let counted = counted.0.get(&load_key(load, &counted)?).copied().context("no count")?;
    for name in ["reset_monitor_connections_reset_total", "reset_monitor_resets_sent_total"] {
        wait::until("what was counted last", || {
            let value = prometheus.number(&format!("sum({})", load.series(name)))?;
            Ok(if value == Some(counted) { Ok(()) } else { Err(format!("{name}: {value:?}, not {counted}")) })
        })?;
    }
    let all = only(prometheus.series(&format!("{}[1h]", load.resets()))?)?;
    let starts = only(prometheus.series("process_start_time_seconds{job=\"reset-monitor\"}[1h]")?)?;
    grows_but_for_restarts(prometheus, &starts)?;
    misses_one_scrape_at_most(prometheus, lives)?;
    let last = all.samples.last().context("no samples")?.0;
    let changes = exact((lives.len() - 1).try_into()?)?;
    for query in [load.resets(), "process_start_time_seconds".to_owned()] {
        let function = if query.starts_with("process") { "changes" } else { "resets" };
        let seen = prometheus.number(&format!("{function}({query}[1h])"))?;
        ensure!(seen == Some(changes), "{function} of {query}: {seen:?}, not {changes}");
    }
    let highest = highest(&all, &starts)?;
    ensure!(highest.len() == lives.len(), "{} daemons were scraped: {highest:?}", highest.len());
    for (life, highest) in lives.iter().zip(&highest) {
        // As much as it can have counted, and nothing of what was there before it.
        let most = exact(life.ended.min(sent) - life.before)?;
        ensure!(*highest <= most, "{highest} of at most {most}: {life:?}");
    }
    let latest = lives.last().context("no daemon")?;
    ensure!(counted >= exact(sent - latest.ready)?, "{counted} of {sent}: {latest:?}");
    // At a scrape, and with the first one near 0, nothing is stretched.
    let grown = prometheus.number(&format!("increase({}[1h] @ {last:.3})", load.resets()))?;
    let (grown, sum) = (grown.context("no increase")?, highest.iter().sum::<f64>());
    ensure!((grown - sum).abs() < 0.5, "an increase of {grown}, where {sum} were scraped");
    let lost = exact(sent)? - sum;
    let most: u64 = lives.windows(2).map(|pair| pair[1].ready - pair[0].scraped).sum();
    ensure!((0.0..=exact(most)?).contains(&lost), "{lost} of {sent} are lost: {lives:?}");
    recorded_is_of_the_last(load, prometheus, counted)?;
    let unwatched: Vec<u64> = lives.windows(2).map(|pair| pair[1].ready - pair[0].ended).collect();
    writeln!(
        stderr(),
        "of {sent} resets {lost} are not in Prometheus, with {changes} restarts; the kernel counted {unwatched:?} \
         from the end of a daemon until the next one listened"
    )?;
    Ok(())
}

/// The key of the series in a text.
fn load_key(load: &Load<'_>, counters: &Counters) -> Result<String> {
    let port = format!("port=\"{}\",role=\"server\"", load.service.place.port);
    let is_it =
        |key: &&String| key.starts_with("reset_monitor_connections_reset_total{") && key.contains(&port);
    counters.0.keys().find(is_it).cloned().context("no series of the load")
}

/// Every counter and every part of a histogram goes down only from one daemon to the next.
fn grows_but_for_restarts(prometheus: &Prometheus, starts: &Series) -> Result<()> {
    let started_at =
        |time: f64| starts.samples.iter().find(|(at, _)| same(*at, time)).map(|(_, start)| *start);
    let all = prometheus
        .series("{job=\"reset-monitor\",__name__=~\"reset_monitor_.+_(total|count|sum|bucket)\"}[1h]")?;
    ensure!(all.len() > 20, "only {} counters", all.len());
    for Series { labels, samples } in all {
        for pair in samples.windows(2) {
            let [(then, before), (now, after)] = [pair[0], pair[1]];
            let is_the_same = started_at(then) == started_at(now);
            ensure!(after >= before || !is_the_same, "{labels:?} fell from {before} to {after}");
        }
    }
    Ok(())
}

fn misses_one_scrape_at_most(prometheus: &Prometheus, lives: &[Life]) -> Result<()> {
    let up = only(prometheus.series("up{job=\"reset-monitor\"}[1h]")?)?;
    let is_down: Vec<bool> = up.samples.iter().map(|(_, value)| *value < 0.5).collect();
    let missed = is_down.iter().filter(|down| **down).count();
    if missed < lives.len() && !is_down.windows(2).any(|two| two == [true, true]) {
        return Ok(());
    }
    let longest = lives.iter().map(|life| life.away).max().unwrap_or_default();
    // What lies between two scrapes is no longer than this only where the machine lets the next daemon start at once.
    if longest >= Duration::from_secs(INTERVAL.into()) {
        return Err(NotAsMeant(format!("this machine took {longest:?} from one daemon to the next")).into());
    }
    bail!("scrapes failed more often than daemons changed, or two in a row: {is_down:?}")
}

/// The highest value of each daemon, in their order.
fn highest(series: &Series, starts: &Series) -> Result<Vec<f64>> {
    let mut highest = Vec::<(f64, f64)>::new();
    for (time, value) in &series.samples {
        let start =
            starts.samples.iter().find(|(at, _)| same(*at, *time)).context("a scrape without start")?.1;
        match highest.last_mut() {
            Some((of, most)) if same(*of, start) => *most = value.max(*most),
            Some(_) | None => highest.push((start, *value)),
        }
    }
    Ok(highest.into_iter().map(|(_, most)| most).collect())
}

/// The shipped rules know of the restart: a window has what this daemon counted, in full, and nothing twice.
fn recorded_is_of_the_last(load: &Load<'_>, prometheus: &Prometheus, counted: f64) -> Result<()> {
    wait::until("the recorded increase", || {
        let recorded = prometheus.number(&load.series("peer:reset_monitor_connections_reset:increase10m"))?;
        Ok(if recorded == Some(counted) { Ok(()) } else { Err(format!("{recorded:?}, not {counted}")) })
    })
}

/// Of what came from the same text.
fn same(one: f64, other: f64) -> bool {
    one.total_cmp(&other).is_eq()
}
