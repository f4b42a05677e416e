//! Families as Prometheus' protobuf messages, by prometheus-client (0.25): the only format that has native histograms.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_protobuf::{self, EncodeError};
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel as _, EncodeLabelSet, EncodeMetric as _, LabelSetEncoder, MetricEncoder,
    NativeHistogram, NativeHistogramBuckets, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::CounterWithExemplar;
use prometheus_client::registry::{Registry, Unit as ClientUnit};

use super::family::Output;
use super::labels::Labels;
use super::text::{Head, Kind, Number, Unit};
use crate::snapshot::fine::{Bucket, FineCounts, SCHEMA, ZERO_SECONDS};
use crate::snapshot::{IDLE_BOUNDS, IdleHistogram};

static SECONDS: ClientUnit = ClientUnit::Seconds;
static BYTES: ClientUnit = ClientUnit::Bytes;

/// Messages that become more.
pub(super) struct Messages<'a>(DescriptorEncoder<'a>);

/// A message while it is written.
pub(super) struct Family<'a>(MetricEncoder<'a>);

/// The messages of all families that `families` writes, each with its length before it. A prefix and `_` begin their names.
pub(super) fn encode<F>(prefix: Option<&str>, families: F) -> Result<Vec<u8>, EncodeError>
where
    F: Fn(&mut Output<'_>) -> fmt::Result + Send + Sync + 'static,
{
    let mut registry = prefix.map_or_else(Registry::default, Registry::with_prefix);
    registry.register_collector(Box::new(Families(families)));
    prometheus_protobuf::encode_to_vec(&registry)
}

struct Families<F>(F);

impl<F> fmt::Debug for Families<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Families")
    }
}

impl<F: Fn(&mut Output<'_>) -> fmt::Result + Send + Sync + 'static> Collector for Families<F> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut Output::Protobuf(Messages(encoder)))
    }
}

/// Labels as prometheus-client takes them.
struct Encoded<'a, L>(&'a L);

impl<L: Labels> EncodeLabelSet for Encoded<'_, L> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.0.each(&mut |name, value| {
            if result.is_ok() {
                result = (name, value).encode(encoder.encode_label());
            }
        });
        result
    }
}

impl<'a> Family<'a> {
    /// Writes what it is.
    pub(super) fn begin(
        Messages(encoder): &'a mut Messages<'_>,
        Head { kind, name, unit, help }: Head<'a>,
    ) -> Result<Self, fmt::Error> {
        let unit = unit.map(|unit| match unit {
            Unit::Seconds => &SECONDS,
            Unit::Bytes => &BYTES,
        });
        let kind = match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        };
        encoder.encode_descriptor(name, help, unit, kind).map(Self)
    }

    pub(super) fn counter(&mut self, labels: &impl Labels, value: Number) -> fmt::Result {
        let labels = Encoded(labels);
        let mut family = self.0.encode_family(&labels)?;
        match value {
            Number::Whole(value) => family.encode_counter::<NoLabelSet, _, u64>(&value, None),
            Number::Real(value) => family.encode_counter::<NoLabelSet, _, f64>(&value, None),
        }
    }

    /// With an exemplar.
    pub(super) fn counter_of_event(&mut self, labels: &impl Labels, value: u64, event: u64) -> fmt::Result {
        // prometheus-client has no other way to make an exemplar.
        let counter = CounterWithExemplar::<[(&'static str, u64); 1]>::default();
        counter.inc_by(value.saturating_sub(1), None, None);
        counter.inc_by(1, Some([("event_id", event)]), None);
        counter.encode(self.0.encode_family(&Encoded(labels))?)
    }

    pub(super) fn gauge(&mut self, labels: &impl Labels, value: Number) -> fmt::Result {
        let labels = Encoded(labels);
        let mut family = self.0.encode_family(&labels)?;
        match value {
            Number::Whole(value) => family.encode_gauge(&value),
            Number::Real(value) => family.encode_gauge(&value),
        }
    }

    pub(super) fn info(&mut self, labels: &impl Labels) -> fmt::Result {
        self.0.encode_info(&Encoded(labels))
    }

    /// Idle times, in the usual buckets and in fine ones.
    pub(super) fn histogram(&mut self, labels: &impl Labels, times: &IdleHistogram) -> fmt::Result {
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
        self.0.encode_family(&Encoded(labels))?.encode_histogram_with_native::<NoLabelSet>(
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
