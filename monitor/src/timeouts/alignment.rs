//! Who gives up first: a pair is safe when the client does, by a margin.

use std::time::Duration;

use super::SideFacts;
use super::estimate::LEAST;
use crate::advice::numbers::MARGIN;

/// Whether a pair is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The server closes first, or would.
    Misaligned,
    /// The client does, by less than the margin.
    Tight,
    /// Not enough was seen.
    Unknown,
    /// The client does, by the margin or more.
    Aligned,
}

impl Verdict {
    /// All of them, the worst first.
    pub const ALL: [Self; 4] = [Self::Misaligned, Self::Tight, Self::Unknown, Self::Aligned];

    /// As JSON and labels spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Misaligned => "misaligned",
            Self::Tight => "tight",
            Self::Unknown => "unknown",
            Self::Aligned => "aligned",
        }
    }
}

/// The verdict, and the numbers behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// Whether it is safe.
    pub verdict: Verdict,
    /// After which quiet the client gives up, at the latest; or how long it was seen to hold on, if it never did.
    pub client: Option<Duration>,
    /// After which quiet the server closes, at the earliest.
    pub server: Option<Duration>,
    /// The server's less the client's, in milliseconds; negative if, and only if, the server closes first, which is what alerts go by.
    pub margin_ms: Option<i64>,
}

/// Compares both sides. What several pools or settings behind one address do is judged by the pair that comes closest.
pub(super) fn align(client: &SideFacts, server: &SideFacts, now: Duration) -> Alignment {
    let gives_up = client.estimates.iter().map(|estimate| estimate.latest).max();
    let closes = server.estimates.iter().map(|estimate| estimate.earliest).min();
    let between = |server: Duration, client: Duration| milliseconds(server) - milliseconds(client);
    let enough = i64::try_from(MARGIN * 1_000).unwrap_or(i64::MAX);
    let (verdict, client, margin_ms) = match (closes, gives_up) {
        // Some client holds its connections until the server closes them, and longer than those that give up by themselves.
        (Some(closes), _) if gives_up.is_none() || still_closes(client, server, now) => {
            let holds = gives_up.max(client.at_least).unwrap_or(closes);
            // However short the time by which it was too late.
            (Verdict::Misaligned, holds, Some(between(closes, holds).min(-1)))
        }
        (Some(closes), Some(gives_up)) => {
            let margin = between(closes, gives_up);
            let verdict = match margin {
                ..0 => Verdict::Misaligned,
                margin if margin < enough => Verdict::Tight,
                _ => Verdict::Aligned,
            };
            (verdict, gives_up, Some(margin))
        }
        // The server waits for at least so long, or for longer.
        (None, Some(gives_up)) => match server.at_least.map(|waits| between(waits, gives_up)) {
            Some(margin) if margin >= enough => (Verdict::Aligned, gives_up, Some(margin)),
            Some(_) | None => (Verdict::Unknown, gives_up, None),
        },
        (_, None) => {
            return Alignment { verdict: Verdict::Unknown, client: None, server: closes, margin_ms: None };
        }
    };
    Alignment { verdict, client: Some(client), server: closes, margin_ms }
}

/// An alert and its metric go by what was seen within this time; if that is longer, within three of the server's timeouts, or three times as
/// long as it usually takes from one close to the next: who closes every two hours is not gone in between.
pub(super) const CURRENT: Duration = Duration::from_hours(1);

/// The margin, if one of both has closed a quiet connection of late. A pair that is gone, as that of a container which was replaced,
/// loses no more requests.
pub(super) fn current_margin(alignment: &Alignment, sides: [&SideFacts; 2], now: Duration) -> Option<i64> {
    let last = sides.iter().filter_map(|side| side.moments.last()).max()?;
    let usual = sides.iter().filter_map(|side| usual_step(&side.moments)).min();
    let long =
        [alignment.server, usual].into_iter().flatten().map(|time| time * 3).fold(CURRENT, Duration::max);
    alignment.margin_ms.filter(|_| now.saturating_sub(*last) <= long)
}

/// How long it takes from one close to the next, on average.
fn usual_step(moments: &[Duration]) -> Option<Duration> {
    let steps = u32::try_from(moments.len().checked_sub(1)?).ok().filter(|steps| *steps > 0)?;
    Some(moments.last()?.saturating_sub(*moments.first()?) / steps)
}

/// Whether the server has closed since the client gives up by itself. When a client was changed, it has not.
fn still_closes(client: &SideFacts, server: &SideFacts, now: Duration) -> bool {
    server.estimates.iter().any(|estimate| {
        let since = client.moments.iter().filter(|moment| **moment > estimate.last).count();
        since < LEAST || !estimate.is_quiet(now)
    })
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_closes_rarely_is_gone_only_after_missing_three_times() {
        let hours = Duration::from_hours;
        let alignment = Alignment {
            verdict: Verdict::Misaligned,
            client: None,
            server: Some(Duration::from_mins(1)),
            margin_ms: Some(-1_000),
        };
        let side = |moments: &[u64]| SideFacts {
            moments: moments.iter().map(|hour| hours(*hour)).collect(),
            ..SideFacts::default()
        };
        let (none, rare) = (side(&[]), side(&[0, 2, 4, 6]));
        assert_eq!(current_margin(&alignment, [&none, &rare], hours(12)), Some(-1_000));
        assert_eq!(current_margin(&alignment, [&none, &rare], hours(13)), None);
        let once = side(&[6]);
        assert_eq!(current_margin(&alignment, [&none, &once], hours(7)), Some(-1_000));
        assert_eq!(current_margin(&alignment, [&none, &once], hours(8)), None);
        assert_eq!(current_margin(&alignment, [&none, &none], hours(1)), None);
    }
}
