//! Where closes lie close together: a timer.

use std::time::Duration;

use crate::idle::IDLE;

/// So many moments at least.
pub(super) const LEAST: usize = 3;
/// And so many percent of all that are kept.
const SHARE_PERCENT: usize = 20;
/// Closes that lie together are no timer's if as many would by chance more often than so.
const BY_CHANCE: f64 = 0.000_1;
/// So far apart is not apart at all: jiffies, and the way of a segment.
const JITTER: Duration = Duration::from_millis(20);
/// So many times the time from one close to the next without one.
const QUIET_STEPS: u32 = 3;
/// Timers that look once a second fire up to this much late, and a little more.
const TICK: Duration = Duration::from_millis(1_100);

/// A moment in which connections were closed, and after how much quiet. Small, since thousands are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Monotonic, in tenths of a second.
    tenths: u32,
    /// Quiet before, in milliseconds.
    idle_ms: u32,
}

impl Moment {
    /// Beyond 13 years and 49 days they are cut.
    pub(super) fn new(at: Duration, idle: Duration) -> Self {
        Self {
            tenths: u32::try_from(at.as_millis() / 100).unwrap_or(u32::MAX),
            idle_ms: u32::try_from(idle.as_millis()).unwrap_or(u32::MAX),
        }
    }

    /// Monotonic.
    pub(super) fn at(self) -> Duration {
        Duration::from_millis(u64::from(self.tenths) * 100)
    }

    /// Quiet before.
    pub(super) fn idle(self) -> Duration {
        Duration::from_millis(self.idle_ms.into())
    }
}

/// An inferred timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// The middle of the closes.
    pub timeout: Duration,
    /// The earliest of them.
    pub earliest: Duration,
    /// The latest of them.
    pub latest: Duration,
    /// In how many moments it was seen.
    pub samples: usize,
    /// When for the first time, of what is kept; monotonic.
    pub first: Duration,
    /// When for the last time.
    pub last: Duration,
}

impl Estimate {
    /// Whether it has not been seen for much longer than from one time to the next.
    pub(super) fn is_quiet(&self, now: Duration) -> bool {
        let steps = u32::try_from(self.samples.saturating_sub(1)).unwrap_or(u32::MAX).max(1);
        now.saturating_sub(self.last) > self.last.saturating_sub(self.first) / steps * QUIET_STEPS
    }
}

/// How far closes by one timer lie apart.
pub fn tolerance(idle: Duration) -> Duration {
    TICK.max(idle / 20)
}

/// The timers that these moments show, the one with the most of them first.
pub(super) fn clusters(moments: &[Moment]) -> Vec<Estimate> {
    let mut rest = moments.to_vec();
    rest.sort_unstable_by_key(|moment| moment.idle_ms);
    let mut found = Vec::new();
    loop {
        let within = |from: usize| {
            let first = rest[from].idle();
            rest[from..].partition_point(|moment| moment.idle() <= first + tolerance(first))
        };
        // Of equally dense ones the later: a timer closes what nothing else has closed before.
        let Some((count, from)) = (0..rest.len()).map(|from| (within(from), from)).max() else {
            return found;
        };
        let is_share = count * 100 >= moments.len() * SHARE_PERCENT;
        if count < LEAST || !is_share || is_by_chance(&rest, from, count) {
            return found;
        }
        let cluster: Vec<Moment> = rest.drain(from..from + count).collect();
        found.extend(of(&cluster));
    }
}

/// Whether `count` of these, in the order of their quiet, would lie as close together as those `from` there on if nobody had a timer: if
/// all were closed after any quiet up to the longest, either all alike, or short ones as much more often as they are shorter. So a timer
/// that is exact is known from three moments, and one that ticks from more, the shorter it is.
fn is_by_chance(moments: &[Moment], from: usize, count: usize) -> bool {
    let seconds =
        |place: usize| moments.get(place).map_or(0.0, |moment| moment.idle().max(IDLE).as_secs_f64());
    let all = moments.len();
    let (least, first, longest) = (IDLE.as_secs_f64(), seconds(from), seconds(all - 1));
    let last = seconds(from + count - 1).max(first + JITTER.as_secs_f64());
    let alike = (last - first) / (longest - least);
    let shorter_more_often = (last / first).ln() / (longest / least).ln();
    let near = alike.max(shorter_more_often);
    if !(0.0..1.0).contains(&near) {
        return true;
    }
    let as_float = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    // Whichever of them is the first: `count - 1` or more of the others lie within the window that it begins.
    let others = all - 1;
    let mut exactly = (1.0 - near).powi(i32::try_from(others).unwrap_or(i32::MAX));
    for hits in 0..count - 1 {
        exactly *= near / (1.0 - near) * as_float(others - hits) / as_float(hits + 1);
    }
    // The rest of the sum, and not what is left of one: that would be lost in rounding.
    let mut or_more = 0.0;
    for hits in count - 1..=others {
        or_more += exactly;
        exactly *= near / (1.0 - near) * as_float(others - hits) / as_float(hits + 1);
    }
    as_float(all) * or_more > BY_CHANCE
}

/// Of moments in the order of their quiet.
fn of(cluster: &[Moment]) -> Option<Estimate> {
    Some(Estimate {
        timeout: cluster.get(cluster.len() / 2)?.idle(),
        earliest: cluster.first()?.idle(),
        latest: cluster.last()?.idle(),
        samples: cluster.len(),
        first: cluster.iter().map(|moment| moment.at()).min()?,
        last: cluster.iter().map(|moment| moment.at()).max()?,
    })
}
