//! One metric family while it is written: its metadata first, then a line per set of labels.
//!
//! Where it is written to, text or messages, is known here and nowhere above.

#![cfg_attr(
    not(feature = "native-histograms"),
    expect(clippy::unnecessary_wraps, reason = "text cannot fail, and messages can")
)]

use std::fmt;

use super::labels::{Labels, NoLabels};
#[cfg(feature = "native-histograms")]
use super::protobuf::{self, Messages};
use super::text::{Head, Kind, Number, Text, Unit};
use crate::snapshot::{IDLE_BOUNDS, IdleHistogram};

/// Where families go.
pub(super) enum Output<'a> {
    Text(&'a mut Text),
    #[cfg(feature = "native-histograms")]
    Protobuf(Messages<'a>),
}

/// Where the lines of one family go.
enum Lines<'a> {
    Text(&'a mut Text),
    #[cfg(feature = "native-histograms")]
    Protobuf(protobuf::Family<'a>),
}

/// A counter; `_total` is added to its name.
pub(super) struct Counter<'a>(Lines<'a>);

/// A histogram.
pub(super) struct Histogram<'a>(Lines<'a>);

/// A gauge.
pub(super) struct Gauge<'a>(Lines<'a>);

/// Facts as labels of the constant 1; `_info` is added to its name.
pub(super) struct Info<'a>(Lines<'a>);

impl<'a> Lines<'a> {
    fn begin(out: &'a mut Output<'_>, head: Head<'a>) -> Result<Self, fmt::Error> {
        match out {
            Output::Text(text) => {
                text.family(head);
                Ok(Self::Text(text))
            }
            #[cfg(feature = "native-histograms")]
            Output::Protobuf(messages) => protobuf::Family::begin(messages, head).map(Self::Protobuf),
        }
    }
}

impl<'a> Counter<'a> {
    pub(super) fn new(out: &'a mut Output<'_>, name: &'a str, help: &'a str) -> Result<Self, fmt::Error> {
        Lines::begin(out, Head { kind: Kind::Counter, name, unit: None, help }).map(Self)
    }

    /// In a unit, which is added to its name.
    pub(super) fn with_unit(
        out: &'a mut Output<'_>,
        name: &'a str,
        unit: Unit,
        help: &'a str,
    ) -> Result<Self, fmt::Error> {
        Lines::begin(out, Head { kind: Kind::Counter, name, unit: Some(unit), help }).map(Self)
    }

    /// One without labels.
    pub(super) fn single(out: &mut Output<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
        Counter::new(out, name, help)?.line(&NoLabels, value)
    }

    pub(super) fn line(&mut self, labels: &impl Labels, value: impl Into<Number>) -> fmt::Result {
        match &mut self.0 {
            Lines::Text(text) => {
                text.line(labels, value.into());
                Ok(())
            }
            #[cfg(feature = "native-histograms")]
            Lines::Protobuf(family) => family.counter(labels, value.into()),
        }
    }

    /// With the number of the event that counted last, as an exemplar.
    pub(super) fn line_of_event(&mut self, labels: &impl Labels, value: u64, event: u64) -> fmt::Result {
        match &mut self.0 {
            Lines::Text(text) => {
                text.line_of_event(labels, value.into(), event);
                Ok(())
            }
            #[cfg(feature = "native-histograms")]
            Lines::Protobuf(family) => family.counter_of_event(labels, value, event),
        }
    }
}

impl<'a> Histogram<'a> {
    pub(super) fn new(
        out: &'a mut Output<'_>,
        name: &'a str,
        unit: Unit,
        help: &'a str,
    ) -> Result<Self, fmt::Error> {
        Lines::begin(out, Head { kind: Kind::Histogram, name, unit: Some(unit), help }).map(Self)
    }

    /// Idle times. Formats of text have no place for the fine counts.
    pub(super) fn times(&mut self, labels: &impl Labels, times: &IdleHistogram) -> fmt::Result {
        match &mut self.0 {
            Lines::Text(text) => {
                let bounds = BOUNDS_AS_TEXT.into_iter().chain(["+Inf"]);
                text.histogram(labels, times.sum, bounds.zip(times.buckets.iter().copied()));
                Ok(())
            }
            #[cfg(feature = "native-histograms")]
            Lines::Protobuf(family) => family.histogram(labels, times),
        }
    }
}

impl<'a> Gauge<'a> {
    pub(super) fn new(out: &'a mut Output<'_>, name: &'a str, help: &'a str) -> Result<Self, fmt::Error> {
        Lines::begin(out, Head { kind: Kind::Gauge, name, unit: None, help }).map(Self)
    }

    /// In a unit, which is added to its name.
    pub(super) fn with_unit(
        out: &'a mut Output<'_>,
        name: &'a str,
        unit: Unit,
        help: &'a str,
    ) -> Result<Self, fmt::Error> {
        Lines::begin(out, Head { kind: Kind::Gauge, name, unit: Some(unit), help }).map(Self)
    }

    /// One without labels. `unit` is added to its name.
    pub(super) fn single(
        out: &mut Output<'_>,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        value: impl Into<Number>,
    ) -> fmt::Result {
        let lines = Lines::begin(out, Head { kind: Kind::Gauge, name, unit, help })?;
        Gauge(lines).line(&NoLabels, value)
    }

    pub(super) fn line(&mut self, labels: &impl Labels, value: impl Into<Number>) -> fmt::Result {
        match &mut self.0 {
            Lines::Text(text) => {
                text.line(labels, value.into());
                Ok(())
            }
            #[cfg(feature = "native-histograms")]
            Lines::Protobuf(family) => family.gauge(labels, value.into()),
        }
    }
}

impl<'a> Info<'a> {
    pub(super) fn new(out: &'a mut Output<'_>, name: &'a str, help: &'a str) -> Result<Self, fmt::Error> {
        Lines::begin(out, Head { kind: Kind::Info, name, unit: None, help }).map(Self)
    }

    pub(super) fn line(&mut self, labels: &impl Labels) -> fmt::Result {
        match &mut self.0 {
            Lines::Text(text) => {
                text.line(labels, Number::Whole(1));
                Ok(())
            }
            #[cfg(feature = "native-histograms")]
            Lines::Protobuf(family) => family.info(labels),
        }
    }
}

/// [`IDLE_BOUNDS`] as `OpenMetrics` writes them.
const BOUNDS_AS_TEXT: [&str; IDLE_BOUNDS.len()] = [
    "1.0", "5.0", "10.0", "15.0", "20.0", "30.0", "45.0", "55.0", "60.0", "65.0", "75.0", "90.0", "120.0",
    "180.0", "300.0", "350.0", "600.0", "900.0", "3600.0",
];

#[cfg(test)]
mod tests {
    use super::{BOUNDS_AS_TEXT, IDLE_BOUNDS};

    #[test]
    fn bounds_are_spelt_as_they_are() {
        assert_eq!(
            BOUNDS_AS_TEXT.map(|text| text.parse().ok()),
            IDLE_BOUNDS.map(|bound| Some(f64::from(bound)))
        );
        assert!(BOUNDS_AS_TEXT.iter().all(|text| text.ends_with(".0")));
    }
}
