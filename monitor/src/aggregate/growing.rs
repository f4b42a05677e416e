//! A counter of the kernel as what it grew by while we watched: a sum that never goes down, whatever the kernel's does.

/// What is remembered of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growing {
    last: u64,
    sum: u64,
}

impl Growing {
    /// One that stands at `base` now; what it counted before is not ours to tell.
    pub(super) const fn since(base: u64) -> Self {
        Self { last: base, sum: 0 }
    }

    /// What it grew by in all.
    pub(super) const fn sum(self) -> u64 {
        self.sum
    }

    /// One reading, and by how much it grew. A smaller number than before is that of a new counter under an old name, which
    /// began at zero.
    pub(super) const fn read(&mut self, now: u64) -> u64 {
        let grown = if now < self.last { now } else { now - self.last };
        self.take(now, grown)
    }

    /// The same for counters of 32 bits, or sums of some: one that falls from the upper half of its range to the lower went
    /// over its end.
    pub(super) const fn read_32_bits(&mut self, now: u64) -> u64 {
        const RANGE: u64 = 1 << 32;
        let went_over = now < self.last && self.last - now > RANGE / 2;
        let grown = if went_over { (now + RANGE).saturating_sub(self.last) } else { return self.read(now) };
        self.take(now, grown)
    }

    const fn take(&mut self, now: u64, grown: u64) -> u64 {
        self.last = now;
        self.sum = self.sum.saturating_add(grown);
        grown
    }
}

#[cfg(test)]
mod tests {
    use super::Growing;

    #[test]
    fn a_counter_that_starts_over_goes_on_growing() {
        let mut counter = Growing::since(100);
        for (now, sum) in [(100, 0), (103, 3), (2, 5), (2, 5), (4, 7)] {
            counter.read(now);
            assert_eq!(counter.sum(), sum, "at {now}");
        }
    }

    #[test]
    fn a_counter_of_32_bits_may_go_over_its_end() {
        let mut counter = Growing::since(u64::from(u32::MAX) - 1);
        assert_eq!(counter.read_32_bits(1), 3);
        assert_eq!(counter.read_32_bits(0), 0, "a small step back is a new counter");
        assert_eq!(counter.read_32_bits(7), 7);
        assert_eq!(counter.sum(), 10);
    }
}
