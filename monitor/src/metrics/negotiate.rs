//! Which text format to answer with, by the request's `Accept` header.

/// A format of the metrics page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4, which every scraper reads. The default.
    Classic,
    /// `OpenMetrics` 1.0.0.
    OpenMetrics100,
    /// `OpenMetrics` 0.0.1: the same text under the number that old scrapers ask for.
    OpenMetrics001,
}

impl Format {
    /// The `Content-Type` of the answer.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics100 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::OpenMetrics001 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
        }
    }

    /// The format with the highest weight. `OpenMetrics` only when it is named: wildcards mean the default, and so does a
    /// header that allows nothing we have, since a scraper can do more with a page than with a refusal.
    pub fn from_accept(accept: &str) -> Self {
        let ranges: Vec<Range<'_>> = accept.split(',').map(Range::parse).collect();
        let weight = |format: Self| {
            let matching =
                ranges.iter().filter_map(|range| range.rank(format).map(|rank| (rank, range.weight)));
            matching.max_by_key(|(rank, weight)| (*rank, *weight)).map_or(0, |(_, weight)| weight)
        };
        // The last one of equal weights wins, so they go from the least to the most wanted.
        let by_preference = [Self::Classic, Self::OpenMetrics001, Self::OpenMetrics100];
        by_preference
            .into_iter()
            .filter(|format| weight(*format) > 0)
            .max_by_key(|format| weight(*format))
            .unwrap_or(Self::Classic)
    }
}

/// One part of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    version: Option<&'a str>,
    /// Thousandths; 0 means "not this".
    weight: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self { kind: parts.next().unwrap_or_default(), version: None, weight: 1000 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.weight = thousandths(value),
                "version" => range.version = Some(value),
                _ => {}
            }
        }
        range
    }

    /// How exactly the range names the format; `None` when it does not.
    fn rank(&self, format: Format) -> Option<u8> {
        let is = |kind: &str| self.kind.eq_ignore_ascii_case(kind);
        let version = |ours: &str, or_none: bool| match self.version {
            None => or_none,
            Some(version) => version == ours,
        };
        match format {
            Format::Classic if is("text/plain") && version("0.0.4", true) => Some(2),
            Format::Classic if is("text/*") => Some(1),
            Format::Classic if is("*/*") => Some(0),
            Format::OpenMetrics100 if is("application/openmetrics-text") && version("1.0.0", true) => Some(2),
            Format::OpenMetrics001 if is("application/openmetrics-text") && version("0.0.1", false) => {
                Some(2)
            }
            Format::Classic | Format::OpenMetrics100 | Format::OpenMetrics001 => None,
        }
    }
}

/// A weight such as `0.75` in thousandths. One that cannot be read counts as not wanted.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return 0;
    }
    let padded: String = fraction.chars().chain("000".chars()).take(3).collect();
    let whole: u16 = whole.parse().unwrap_or(1);
    whole.saturating_mul(1000).saturating_add(padded.parse().unwrap_or(0)).min(1000)
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn the_default_is_text_0_0_4() {
        for accept in [
            "",
            "*/*",
            "text/html, */*;q=0.8",
            "text/plain",
            "text/*",
            "application/json",
            "garbage;;;q=",
            "text/plain;version=0.0.4",
        ] {
            assert_eq!(Format::from_accept(accept), Format::Classic, "{accept}");
        }
    }

    #[test]
    fn openmetrics_is_given_to_who_names_it() {
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8, text/plain;q=0.5",
        ] {
            assert_eq!(Format::from_accept(accept), Format::OpenMetrics100, "{accept}");
        }
        assert_eq!(Format::from_accept("application/openmetrics-text;version=0.0.1"), Format::OpenMetrics001);
        assert_eq!(Format::from_accept("application/openmetrics-text;version=2.0.0"), Format::Classic);
    }

    #[test]
    fn what_prometheus_sends_is_answered_with_openmetrics_1_0_0() {
        let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                      application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                      application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(Format::from_accept(accept), Format::OpenMetrics100);
    }

    #[test]
    fn weights_decide_and_zero_refuses() {
        let openmetrics = "application/openmetrics-text;version=1.0.0";
        assert_eq!(Format::from_accept(&format!("{openmetrics};q=0.3,text/plain;q=0.301")), Format::Classic);
        assert_eq!(
            Format::from_accept(&format!("{openmetrics};q=0.3,text/plain;q=0.2")),
            Format::OpenMetrics100
        );
        assert_eq!(Format::from_accept(&format!("{openmetrics};q=0")), Format::Classic);
        assert_eq!(
            Format::from_accept(&format!("{openmetrics};q=0.1,text/plain;q=0,*/*;q=0.9")),
            Format::OpenMetrics100
        );
    }
}
