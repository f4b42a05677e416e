//! One number over the last day: a ring of points for each resolution, and the clock that all rings go by.

use std::time::Duration;

/// How finely the past is kept. What is older is kept in longer intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// 10 s for half an hour: one incident.
    #[default]
    Fine,
    /// A minute for six hours: a shift.
    Middle,
    /// Five minutes for a day: yesterday at this time.
    Coarse,
}

impl Resolution {
    /// All of them, the finest first.
    pub const ALL: [Self; 3] = [Self::Fine, Self::Middle, Self::Coarse];

    /// Length of an interval.
    pub const fn step(self) -> Duration {
        match self {
            Self::Fine => Duration::from_secs(10),
            Self::Middle => Duration::from_mins(1),
            Self::Coarse => Duration::from_mins(5),
        }
    }

    /// How many intervals are kept.
    pub const fn points(self) -> usize {
        match self {
            Self::Fine => 180,
            Self::Middle => 360,
            Self::Coarse => 288,
        }
    }

    /// Where its ring begins among the points of all.
    const fn start(self) -> usize {
        match self {
            Self::Fine => 0,
            Self::Middle => Self::Fine.points(),
            Self::Coarse => Self::Fine.points() + Self::Middle.points(),
        }
    }

    /// The interval in which a time is; times count from the daemon's start.
    pub(super) fn interval(self, at: Duration) -> u64 {
        at.as_secs() / self.step().as_secs()
    }

    /// Where an interval is kept among the points of all.
    fn place(self, interval: u64) -> usize {
        let points = u64::try_from(self.points()).unwrap_or(1);
        self.start() + usize::try_from(interval % points).unwrap_or(0)
    }
}

/// Points of all resolutions together.
pub(super) const POINTS: usize = Resolution::Coarse.start() + Resolution::Coarse.points();

/// A number's points of all resolutions.
#[derive(Debug)]
pub(super) struct Ring<T>(Box<[T]>);

impl<T: Copy + Default> Ring<T> {
    pub(super) fn new() -> Self {
        Self(vec![T::default(); POINTS].into_boxed_slice())
    }

    pub(super) fn get(&self, resolution: Resolution, interval: u64) -> T {
        self.0.get(resolution.place(interval)).copied().unwrap_or_default()
    }

    pub(super) fn at(&mut self, resolution: Resolution, interval: u64) -> Option<&mut T> {
        self.0.get_mut(resolution.place(interval))
    }

    /// Forgets what was kept where the intervals of a jump will be.
    pub(super) fn clear(&mut self, Jump { resolution, first, count }: Jump) {
        for interval in first..first + count {
            if let Some(point) = self.at(resolution, interval) {
                *point = T::default();
            }
        }
    }
}

/// Intervals that begin now: one as a rule, all of a ring at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) resolution: Resolution,
    pub(super) first: u64,
    pub(super) count: u64,
}

impl Jump {
    /// From the interval of one time to that of another, later one.
    pub(super) fn between(resolution: Resolution, from: Duration, to: Duration) -> Option<Self> {
        let (old, new) = (resolution.interval(from), resolution.interval(to));
        let count = new.checked_sub(old).filter(|count| *count > 0)?;
        let count = count.min(u64::try_from(resolution.points()).unwrap_or(count));
        Some(Self { resolution, first: new + 1 - count, count })
    }
}
