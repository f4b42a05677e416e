//! One metric family while it is written: its metadata first, then a line per set of labels.
//!
//! prometheus-client (0.25) escapes label values itself. It does not escape help texts; those are constants of ours.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::CounterWithExemplar;
use prometheus_client::registry::Unit;

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

    /// `buckets` are upper bounds with their own counts, the last bound infinity.
    pub(super) fn line(
        &mut self,
        labels: &impl EncodeLabelSet,
        sum: f64,
        buckets: &[(f64, u64)],
    ) -> fmt::Result {
        let count = buckets.iter().map(|(_, count)| count).sum();
        self.0.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }
}

impl Histogram<'_> {
    /// Idle times.
    pub(super) fn times(&mut self, labels: &impl EncodeLabelSet, times: &IdleHistogram) -> fmt::Result {
        let bounds = IDLE_BOUNDS.map(f64::from).into_iter().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(times.buckets.iter().copied()).collect();
        self.line(labels, times.sum, &buckets)
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
