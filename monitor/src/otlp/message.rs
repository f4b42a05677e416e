//! The messages of OTLP, as far as they are the same for every metric.

use jiff::Timestamp;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Metric,
    NumberDataPoint, Sum, number_data_point,
};

use crate::snapshot::IdleHistogram;
use crate::snapshot::fine::{SCHEMA, ZERO_SECONDS};

/// Name, unit and description of a metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct About(pub(super) &'static str, pub(super) &'static str, pub(super) &'static str);

/// A value and what it is of.
pub(super) type Point<T> = (Vec<KeyValue>, T);

/// Since when counts count, and when they were read, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u64,
    end: u64,
}

/// What only grows.
pub(super) const COUNTER: bool = true;
/// What can be added up over its attributes, and goes up and down.
pub(super) const UP_AND_DOWN: bool = false;

impl Span {
    /// A clock that was set back meanwhile must not make an end before the beginning.
    pub(super) fn of(started: Timestamp, taken: Timestamp) -> Self {
        let of = |moment: Timestamp| u64::try_from(moment.as_nanosecond()).unwrap_or(0);
        Self { start: of(started), end: of(taken).max(of(started)) }
    }

    /// A sum since the start.
    pub(super) fn sum(
        self,
        about: About,
        is_monotonic: bool,
        points: impl Iterator<Item = Point<u64>>,
    ) -> Option<Metric> {
        let data_points = self.numbers(points.map(|(attributes, count)| (attributes, integer(count))));
        let has_some = !data_points.is_empty();
        let aggregation_temporality = AggregationTemporality::Cumulative.into();
        has_some.then(|| metric(about, Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })))
    }

    /// A value of now.
    pub(super) fn gauge(self, about: About, points: impl Iterator<Item = Point<f64>>) -> Option<Metric> {
        let of = |(attributes, value)| (attributes, number_data_point::Value::AsDouble(value));
        // Nothing has been added up to it since a start.
        let data_points = Self { start: 0, ..self }.numbers(points.map(of));
        (!data_points.is_empty()).then(|| metric(about, Data::Gauge(Gauge { data_points })))
    }

    /// Idle times in fine buckets.
    pub(super) fn histogram<'a>(
        self,
        about: About,
        points: impl Iterator<Item = Point<&'a IdleHistogram>>,
    ) -> Option<Metric> {
        let data_points: Vec<_> = points.map(|(attributes, times)| self.times(attributes, times)).collect();
        let has_some = !data_points.is_empty();
        let aggregation_temporality = AggregationTemporality::Cumulative.into();
        let data = Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality });
        has_some.then(|| metric(about, data))
    }

    fn numbers(self, points: impl Iterator<Item = Point<number_data_point::Value>>) -> Vec<NumberDataPoint> {
        let of = |(attributes, value)| NumberDataPoint {
            attributes,
            start_time_unix_nano: self.start,
            time_unix_nano: self.end,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        points.map(of).collect()
    }

    /// OTLP counts buckets from their lower bound, where we count from the upper one: its bucket 0 is our 1. It has all buckets from the first
    /// to the last one, at most 280.
    fn times(self, attributes: Vec<KeyValue>, times: &IdleHistogram) -> ExponentialHistogramDataPoint {
        let buckets = times.fine.buckets();
        let first = buckets.first().map_or(0, |bucket| i32::from(bucket.index));
        let mut counts = Vec::new();
        for bucket in buckets {
            let at = usize::try_from(i32::from(bucket.index) - first).unwrap_or_default();
            counts.resize(at, 0);
            counts.push(bucket.count);
        }
        ExponentialHistogramDataPoint {
            attributes,
            start_time_unix_nano: self.start,
            time_unix_nano: self.end,
            count: times.count(),
            sum: Some(times.sum),
            scale: SCHEMA,
            zero_count: times.fine.zero(),
            zero_threshold: ZERO_SECONDS,
            positive: Some(Buckets { offset: first - 1, bucket_counts: counts }),
            ..ExponentialHistogramDataPoint::default()
        }
    }
}

/// An attribute that is text.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

/// An attribute that is a port.
pub(super) fn port(key: &str, value: u16) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value.into()))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn metric(About(name, unit, description): About, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

/// Its numbers have a sign.
fn integer(count: u64) -> number_data_point::Value {
    number_data_point::Value::AsInt(i64::try_from(count).unwrap_or(i64::MAX))
}
