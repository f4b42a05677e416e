//! One metric family while it is written: its metadata first, then a line per set of labels.
//!
//! prometheus-client (0.25) escapes label values itself. It does not escape help texts; those are constants of ours.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric, MetricEncoder, NativeHistogram,
    NativeHistogramBuckets, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::CounterWithExemplar;
use prometheus_client::registry::Unit;

use crate::snapshot::fine::{Bucket, FineCounts, SCHEMA, ZERO_SECONDS};
use crate::snapshot::{IDLE_BOUNDS, IdleHistogram};

/// A counter; `_total` is added to its name.
pub(super) struct Counter<'a>(MetricEncoder<'a>);

/// A histogram.
pub(super) struct Histogram<'a>(MetricEncoder<'a>);

/// A gauge.
pub(super) struct Gauge<'a>(MetricEncoder<'a>);

/// Facts as labels of the constant 1; `_info` is added to its name.
pub(super) struct Info<'a>(MetricEncoder<'a>);

impl<'a> Counter<'a> {
    pub(super) fn new(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'a str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        encoder.encode_descriptor(name, help, None, MetricType::Counter).map(Self)
    }

    /// One without labels.
    pub(super) fn single(
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: u64,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub(super) fn line(&mut self, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
        self.0.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// With the number of the event that counted last, as an exemplar.
    pub(super) fn line_of_event(
        &mut self,
        labels: &impl EncodeLabelSet,
        value: u64,
        event: u64,
    ) -> fmt::Result {
        // prometheus-client has no other way to make an exemplar.
        let counter = CounterWithExemplar::<[(&'static str, u64); 1]>::default();
        counter.inc_by(value.saturating_sub(1), None, None);
        counter.inc_by(1, Some([("event_id", event)]), None);
        counter.encode(self.0.encode_family(labels)?)
    }
}

impl<'a> Histogram<'a> {
    pub(super) fn new(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'a str,
        unit: &'a Unit,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        encoder.encode_descriptor(name, help, Some(unit), MetricType::Histogram).map(Self)
    }

    /// Idle times. Formats of text have no place for the fine counts.
    pub(super) fn times(&mut self, labels: &impl EncodeLabelSet, times: &IdleHistogram) -> fmt::Result {
        let IdleHistogram { buckets, sum, fine } = times;
        // Upper bounds with their own counts.
        let bounds = IDLE_BOUNDS.map(f64::from).into_iter().chain([f64::INFINITY]);
        let classic: Vec<_> = bounds.zip(buckets.iter().copied()).collect();
        let native = Native::of(fine);
        let none = NativeHistogramBuckets { spans: &[], deltas: &[] };
        let native = NativeHistogram {
            schema: SCHEMA,
            zero_threshold: ZERO_SECONDS,
            zero_count: fine.zero(),
            negative: none,
            positive: NativeHistogramBuckets { spans: &native.spans, deltas: &native.deltas },
            created: None,
        };
        self.0.encode_family(labels)?.encode_histogram_with_native::<NoLabelSet>(
            *sum,
            times.count(),
            &classic,
            None,
            native,
        )
    }
}

/// Fine counts in Prometheus' words: runs of buckets, and each count as the difference to the one before.
struct Native {
    /// From the end of the last run, or from bucket 0, to this one; and its length.
    spans: Vec<(i32, u32)>,
    deltas: Vec<i64>,
}

impl Native {
    fn of(fine: &FineCounts) -> Self {
        let mut native = Self { spans: Vec::new(), deltas: Vec::with_capacity(fine.buckets().len()) };
        let (mut next, mut last) = (0, 0);
        for Bucket { index, count } in fine.buckets() {
            let (index, count) = (i32::from(*index), i64::try_from(*count).unwrap_or(i64::MAX));
            match native.spans.last_mut() {
                Some((_, length)) if index == next => *length += 1,
                Some(_) | None => native.spans.push((index - next, 1)),
            }
            native.deltas.push(count - last);
            (next, last) = (index + 1, count);
        }
        native
    }
}

impl<'a> Gauge<'a> {
    pub(super) fn new(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'a str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        encoder.encode_descriptor(name, help, None, MetricType::Gauge).map(Self)
    }

    /// In a unit, which is added to its name.
    pub(super) fn with_unit(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'a str,
        unit: &'a Unit,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        encoder.encode_descriptor(name, help, Some(unit), MetricType::Gauge).map(Self)
    }

    /// One without labels. `unit` is added to its name.
    pub(super) fn single<V: EncodeGaugeValue + Copy>(
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        value: V,
    ) -> fmt::Result {
        encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
    }

    pub(super) fn line(
        &mut self,
        labels: &impl EncodeLabelSet,
        value: impl EncodeGaugeValue + Copy,
    ) -> fmt::Result {
        self.0.encode_family(labels)?.encode_gauge(&value)
    }
}

impl<'a> Info<'a> {
    pub(super) fn new(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'a str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        encoder.encode_descriptor(name, help, None, MetricType::Info).map(Self)
    }

    pub(super) fn line(&mut self, labels: &impl EncodeLabelSet) -> fmt::Result {
        self.0.encode_info(labels)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Native;
    use crate::snapshot::fine::FineCounts;

    #[test]
    fn runs_of_buckets_are_told_by_their_distances_and_counts_by_their_differences() {
        let mut fine = FineCounts::default();
        assert!(Native::of(&fine).spans.is_empty());
        // Buckets 0, 1, 1, 1, 8 and -8.
        for ms in [1_000, 1_050, 1_060, 1_070, 2_000, 500] {
            fine.observe(Duration::from_millis(ms));
        }
        let Native { spans, deltas } = Native::of(&fine);
        assert_eq!((spans, deltas), (vec![(-8, 1), (7, 2), (6, 1)], vec![1, 0, 2, -2]));
    }
}
