//! Families as text: Prometheus' 0.0.4 and `OpenMetrics`, which differ in the metadata only.
//!
//! `OpenMetrics` names a family without the suffix of its samples (`x` for `x_total`) and knows the type `info`, units, exemplars and
//! an end mark; 0.0.4 names the samples and knows none of these. Our own, because a scrape of 10,000 series has 3 ms: prometheus-client
//! (0.25) spells a peer's labels anew for each of its lines, a histogram's 22 among them, and made such a page in 3.0 ms.

use std::fmt::Write as _;

use super::labels::Labels;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Prometheus text 0.0.4.
    Classic,
    /// `OpenMetrics`.
    Open,
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `_total` is added to the name of its samples.
    Counter,
    Gauge,
    Histogram,
    /// `_info` is added to the name of its samples.
    Info,
}

/// A unit, the last part of a family's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Bytes,
}

/// What a family is, told before its lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    pub(super) unit: Option<Unit>,
    /// One line without backslashes: a constant of ours, which is not escaped.
    pub(super) help: &'a str,
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

/// A page that grows.
#[derive(Debug)]
pub(super) struct Text {
    out: String,
    dialect: Dialect,
    prefix: &'static str,
    /// Name of the current family's samples, of a histogram without the part that tells them apart.
    sample: String,
}

impl Kind {
    const fn name(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Counter, Dialect::Classic | Dialect::Open) => "counter",
            (Self::Gauge, Dialect::Classic | Dialect::Open) | (Self::Info, Dialect::Classic) => "gauge",
            (Self::Histogram, Dialect::Classic | Dialect::Open) => "histogram",
            (Self::Info, Dialect::Open) => "info",
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            Self::Gauge | Self::Histogram => "",
        }
    }
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
        }
    }
}

impl Text {
    /// An empty page with room for so many bytes. `prefix` and `_` begin the names of all families.
    pub(super) fn new(dialect: Dialect, prefix: &'static str, bytes: usize) -> Self {
        Self { out: String::with_capacity(bytes), dialect, prefix, sample: String::new() }
    }

    /// Families from here on have no prefix.
    pub(super) const fn without_prefix(&mut self) {
        self.prefix = "";
    }

    /// The whole page.
    pub(super) fn finish(mut self) -> String {
        match self.dialect {
            Dialect::Classic => {}
            Dialect::Open => self.out.push_str("# EOF\n"),
        }
        self.out
    }

    /// Begins a family.
    pub(super) fn family(&mut self, Head { kind, name, unit, help }: Head<'_>) {
        self.sample.clear();
        if !self.prefix.is_empty() {
            self.sample.extend([self.prefix, "_"]);
        }
        self.sample.push_str(name);
        let unit = unit.map(Unit::name);
        if let Some(unit) = unit {
            self.sample.extend(["_", unit]);
        }
        let bare = self.sample.len();
        self.sample.push_str(kind.suffix());
        let named = match self.dialect {
            Dialect::Classic => self.sample.as_str(),
            Dialect::Open => self.sample.get(..bare).unwrap_or_default(),
        };
        let kind = kind.name(self.dialect);
        self.out.extend(["# HELP ", named, " ", help, "\n# TYPE ", named, " ", kind, "\n"]);
        if let (Some(unit), Dialect::Open) = (unit, self.dialect) {
            self.out.extend(["# UNIT ", named, " ", unit, "\n"]);
        }
    }

    /// A sample of the family.
    pub(super) fn line(&mut self, labels: &impl Labels, value: Number) {
        self.sample_value(labels, value);
        self.out.push('\n');
    }

    /// The same with an exemplar: the event that counted last.
    pub(super) fn line_of_event(&mut self, labels: &impl Labels, value: Number, event: u64) {
        self.sample_value(labels, value);
        self.out.extend([" # {event_id=\"", itoa::Buffer::new().format(event), "\"} 1.0\n"]);
    }

    fn sample_value(&mut self, labels: &impl Labels, value: Number) {
        let Self { out, sample, .. } = self;
        out.push_str(sample);
        let before = out.len();
        out.push('{');
        labels.text(out);
        if out.len() > before + 1 {
            out.push('}');
        } else {
            // Without labels there are no braces.
            out.truncate(before);
        }
        out.push(' ');
        number(out, value);
    }

    /// The samples of one histogram: sum, count, then how many are at most each bound. `buckets` are bounds as they are written, and
    /// counts that are not added up.
    pub(super) fn histogram(
        &mut self,
        labels: &impl Labels,
        sum: f64,
        buckets: impl Iterator<Item = (&'static str, u64)> + Clone,
    ) {
        let mut spelt = String::new();
        labels.text(&mut spelt);
        let Self { out, sample, .. } = self;
        out.extend([sample.as_str(), "_sum{", &spelt, "} "]);
        number(out, Number::Real(sum));
        out.extend(["\n", sample, "_count{", &spelt, "} "]);
        let count = buckets.clone().map(|(_, count)| count).fold(0, u64::saturating_add);
        number(out, Number::Whole(count));
        out.push('\n');
        let mut at_most = 0_u64;
        for (bound, count) in buckets {
            at_most = at_most.saturating_add(count);
            out.extend([sample, "_bucket{le=\"", bound, "\",", &spelt, "} "]);
            number(out, Number::Whole(at_most));
            out.push('\n');
        }
    }
}

/// `name="value"`, after a comma if it is not the first in `out`. Three characters of a value are escaped.
pub(super) fn label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() && !out.ends_with('{') {
        out.push(',');
    }
    out.extend([name, "=\""]);
    if value.contains(['\\', '"', '\n']) {
        for character in value.chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
    } else {
        out.push_str(value);
    }
    out.push('"');
}

fn number(out: &mut String, value: Number) {
    match value {
        Number::Whole(value) => out.push_str(itoa::Buffer::new().format(value)),
        Number::Real(f64::INFINITY) => out.push_str("+Inf"),
        Number::Real(f64::NEG_INFINITY) => out.push_str("-Inf"),
        // With a fraction or an exponent, as `OpenMetrics` wants it, and NaN by that name.
        Number::Real(value) => {
            // Writing to a string cannot fail.
            _ = write!(out, "{value:?}");
        }
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Head, Kind, Number, Text, Unit};
    use crate::metrics::labels::NoLabels;

    fn page(dialect: Dialect, fill: impl Fn(&mut Text)) -> String {
        let mut text = Text::new(dialect, "p", 0);
        fill(&mut text);
        text.finish()
    }

    #[test]
    fn families_are_named_like_their_samples_in_0_0_4_only() {
        let fill = |text: &mut Text| {
            text.family(Head { kind: Kind::Counter, name: "a", unit: None, help: "Some help." });
            text.line(&[("x", "1")], Number::Whole(2));
            text.line_of_event(&NoLabels, Number::Whole(3), 7);
            text.without_prefix();
            text.family(Head { kind: Kind::Info, name: "build", unit: None, help: "Version." });
            text.line(&[("version", "1")], Number::Whole(1));
        };
        let classic = "# HELP p_a_total Some help.\n# TYPE p_a_total counter\np_a_total{x=\"1\"} 2\n\
                       p_a_total 3 # {event_id=\"7\"} 1.0\n\
                       # HELP build_info Version.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n";
        assert_eq!(page(Dialect::Classic, fill), classic);
        let open = "# HELP p_a Some help.\n# TYPE p_a counter\np_a_total{x=\"1\"} 2\np_a_total 3 # {event_id=\"7\"} 1.0\n\
                    # HELP build Version.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n# EOF\n";
        assert_eq!(page(Dialect::Open, fill), open);
    }

    #[test]
    fn units_are_told_by_open_metrics_only() {
        let fill = |text: &mut Text| {
            text.family(Head { kind: Kind::Gauge, name: "d", unit: Some(Unit::Seconds), help: "Time." });
            for value in [0.5, 3.0, f64::INFINITY, f64::NAN, -1e300] {
                text.line(&NoLabels, Number::Real(value));
            }
        };
        let samples =
            "p_d_seconds 0.5\np_d_seconds 3.0\np_d_seconds +Inf\np_d_seconds NaN\np_d_seconds -1e300\n";
        let head = "# HELP p_d_seconds Time.\n# TYPE p_d_seconds gauge\n";
        assert_eq!(page(Dialect::Classic, fill), format!("{head}{samples}"));
        let unit = "# UNIT p_d_seconds seconds\n";
        assert_eq!(page(Dialect::Open, fill), format!("{head}{unit}{samples}# EOF\n"));
    }

    #[test]
    fn values_that_look_like_labels_stay_one_value() {
        let text = page(Dialect::Classic, |text| {
            text.family(Head { kind: Kind::Gauge, name: "g", unit: None, help: "Help." });
            text.line(&[("a", "x\",b=\"y\n\\"), ("c", "é{}")], Number::Whole(1));
        });
        assert!(text.ends_with("\np_g{a=\"x\\\",b=\\\"y\\n\\\\\",c=\"é{}\"} 1\n"), "{text}");
    }

    #[test]
    fn a_histogram_adds_its_buckets_up() {
        let text = page(Dialect::Classic, |text| {
            text.family(Head { kind: Kind::Histogram, name: "h", unit: None, help: "Help." });
            text.histogram(&[("a", "b")], 2.5, [("1.0", 1), ("+Inf", 2)].into_iter());
        });
        let samples = "p_h_sum{a=\"b\"} 2.5\np_h_count{a=\"b\"} 3\np_h_bucket{le=\"1.0\",a=\"b\"} 1\n\
                       p_h_bucket{le=\"+Inf\",a=\"b\"} 3\n";
        assert!(text.ends_with(samples), "{text}");
    }
}
