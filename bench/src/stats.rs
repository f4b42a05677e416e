//! Medians and what goes with them: a few pure functions.

/// A sample's middle and how far it spreads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// A quarter of the values is below.
    pub(crate) low: f64,
    /// The middle.
    pub(crate) median: f64,
    /// A quarter is above.
    pub(crate) high: f64,
    /// How many values.
    pub(crate) count: usize,
}

impl Summary {
    /// `None` for no values at all. Values that are no numbers are left out.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            low: quantile(&sorted, 0.25)?,
            median: quantile(&sorted, 0.5)?,
            high: quantile(&sorted, 0.75)?,
            count: sorted.len(),
        })
    }

    /// Every value times a factor, for another unit.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { low: self.low * factor, median: self.median * factor, high: self.high * factor, ..self }
    }

    /// `median [low..high]`.
    pub(crate) fn show(&self, digits: usize) -> String {
        let Self { low, median, high, count: _ } = self;
        format!("{median:.digits$} [{low:.digits$}..{high:.digits$}]")
    }
}

/// Between the two nearest values, in proportion.
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(clippy::cast_precision_loss, reason = "samples are small")]
    let place = last as f64 * part;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the last index"
    )]
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    let (from, to) = (sorted.get(below)?, sorted.get(above)?);
    Some(from + (to - from) * place.fract())
}

/// One value before, and one beside it in time under the other condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair<T> {
    /// Nothing attached.
    pub(crate) untraced: T,
    /// Something attached.
    pub(crate) traced: T,
}

impl<T> Pair<T> {
    /// Whether something holds for both.
    pub(crate) fn both(&self, holds: impl Fn(&T) -> bool) -> bool {
        holds(&self.untraced) && holds(&self.traced)
    }

    /// What a quantity that should be small (a time) makes of the pair: 1 if tracing costs nothing, less if it does.
    pub(crate) fn ratio(&self, cost: impl Fn(&T) -> f64) -> f64 {
        cost(&self.untraced) / cost(&self.traced)
    }
}

/// The bursts of a block, `untraced traced traced untraced`, as its two pairs of neighbours. In half of the pairs the
/// traced burst comes second: a machine that grows slower, or faster, spoils them in opposite directions.
pub(crate) fn pairs<T>([first, second, third, fourth]: [T; 4]) -> [Pair<T>; 2] {
    [Pair { untraced: first, traced: second }, Pair { untraced: fourth, traced: third }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(values: &[f64]) -> Option<f64> {
        Summary::of(values.iter().copied()).map(|summary| summary.median)
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn one_wild_value_moves_neither_median_nor_quartiles_far() {
        let summary = Summary::of([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 900.0]).unwrap();
        assert_eq!((summary.low, summary.median, summary.high, summary.count), (1.0, 1.0, 1.0, 8));
    }

    #[test]
    fn quartiles_lie_between_values_in_proportion() {
        let summary = Summary::of([1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!((summary.low, summary.high), (2.0, 4.0));
        let summary = Summary::of([1.0, 2.0]).unwrap();
        assert_eq!((summary.low, summary.high), (1.25, 1.75));
        assert_eq!(summary.times(2.0).show(1), "3.0 [2.5..3.5]");
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        assert_eq!(Summary::of([f64::NAN, 2.0, f64::INFINITY]).unwrap().count, 1);
    }

    #[test]
    fn a_ratio_below_one_says_that_tracing_costs() {
        let pair = Pair { untraced: 40.0, traced: 50.0 };
        assert!((pair.ratio(|time| *time) - 0.8).abs() < 1e-12);
    }

    #[test]
    fn a_steady_drift_cancels_in_the_two_pairs_of_a_block() {
        let [one, two] = pairs([10.0, 11.0, 12.0, 13.0]).map(|pair| pair.ratio(|time| *time));
        assert!(one < 1.0 && two > 1.0, "{one} {two}");
    }
}
