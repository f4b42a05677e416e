//! Which format to answer with, by the request's `Accept` header.

/// A format of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4, which every scraper reads. The default.
    Classic,
    /// `OpenMetrics` 1.0.0.
    OpenMetrics100,
    /// `OpenMetrics` 0.0.1: the same text under the number that old scrapers ask for.
    OpenMetrics001,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Text.
    Text(Format),
    /// Prometheus' protobuf messages, the only format that has native histograms.
    #[cfg(feature = "native-histograms")]
    Protobuf,
}

impl Answer {
    /// From the least to the most wanted among equal weights.
    const BY_PREFERENCE: &[Self] = &[
        Self::Text(Format::Classic),
        Self::Text(Format::OpenMetrics001),
        Self::Text(Format::OpenMetrics100),
        // It says the most.
        #[cfg(feature = "native-histograms")]
        Self::Protobuf,
    ];

    /// The `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text(Format::Classic) => "text/plain; version=0.0.4; charset=utf-8",
            Self::Text(Format::OpenMetrics100) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
            Self::Text(Format::OpenMetrics001) => {
                "application/openmetrics-text; version=0.0.1; charset=utf-8"
            }
            #[cfg(feature = "native-histograms")]
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// The format with the highest weight. Other than the default only what is named: wildcards mean the default, and so does a
    /// header that allows nothing we have, since a scraper can do more with a page than with a refusal.
    pub fn from_accept(accept: &str) -> Self {
        let ranges: Vec<Range<'_>> = accept.split(',').map(Range::parse).collect();
        let weight = |answer: Self| {
            let matching =
                ranges.iter().filter_map(|range| range.rank(answer).map(|rank| (rank, range.weight)));
            matching.max_by_key(|(rank, weight)| (*rank, *weight)).map_or(0, |(_, weight)| weight)
        };
        // The last one of equal weights wins.
        Self::BY_PREFERENCE
            .iter()
            .copied()
            .filter(|answer| weight(*answer) > 0)
            .max_by_key(|answer| weight(*answer))
            .unwrap_or(Self::Text(Format::Classic))
    }
}

/// One part of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    version: Option<&'a str>,
    /// Of protobuf: which message, and how messages are put in a row.
    #[cfg(feature = "native-histograms")]
    messages: [Option<&'a str>; 2],
    /// Thousandths; 0 means "not this".
    weight: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self {
            kind: parts.next().unwrap_or_default(),
            version: None,
            #[cfg(feature = "native-histograms")]
            messages: [None; 2],
            weight: 1000,
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.weight = thousandths(value),
                "version" => range.version = Some(value),
                #[cfg(feature = "native-histograms")]
                "proto" => range.messages[0] = Some(value),
                #[cfg(feature = "native-histograms")]
                "encoding" => range.messages[1] = Some(value),
                _ => {}
            }
        }
        range
    }

    /// How exactly the range names the format; `None` when it does not.
    fn rank(&self, answer: Answer) -> Option<u8> {
        let is = |kind: &str| self.kind.eq_ignore_ascii_case(kind);
        let version = |ours: &str, or_none: bool| match self.version {
            None => or_none,
            Some(version) => version == ours,
        };
        let open_metrics = is("application/openmetrics-text");
        match answer {
            Answer::Text(Format::Classic) if is("text/plain") && version("0.0.4", true) => Some(2),
            Answer::Text(Format::Classic) if is("text/*") => Some(1),
            Answer::Text(Format::Classic) if is("*/*") => Some(0),
            Answer::Text(Format::OpenMetrics100) if open_metrics && version("1.0.0", true) => Some(2),
            Answer::Text(Format::OpenMetrics001) if open_metrics && version("0.0.1", false) => Some(2),
            // Other messages, and other ways to put them in a row, are other formats.
            #[cfg(feature = "native-histograms")]
            Answer::Protobuf
                if is("application/vnd.google.protobuf")
                    && self.messages == [Some("io.prometheus.client.MetricFamily"), Some("delimited")] =>
            {
                Some(2)
            }
            Answer::Text(_) => None,
            #[cfg(feature = "native-histograms")]
            Answer::Protobuf => None,
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
    use super::{Answer, Format};

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
            assert_eq!(Answer::from_accept(accept), Answer::Text(Format::Classic), "{accept}");
        }
    }

    #[test]
    fn openmetrics_is_given_to_who_names_it() {
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8, text/plain;q=0.5",
        ] {
            assert_eq!(Answer::from_accept(accept), Answer::Text(Format::OpenMetrics100), "{accept}");
        }
        assert_eq!(
            Answer::from_accept("application/openmetrics-text;version=0.0.1"),
            Answer::Text(Format::OpenMetrics001)
        );
        assert_eq!(
            Answer::from_accept("application/openmetrics-text;version=2.0.0"),
            Answer::Text(Format::Classic)
        );
    }

    /// What Prometheus 3 sends, and with native histograms 2.42.
    const PROMETHEUS: [&str; 2] = [
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
         application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
         application/openmetrics-text;version=0.0.1;q=0.4,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
         application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
         text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    ];

    #[cfg(not(feature = "native-histograms"))]
    #[test]
    fn what_prometheus_sends_is_answered_with_openmetrics_1_0_0() {
        for accept in PROMETHEUS {
            assert_eq!(Answer::from_accept(accept), Answer::Text(Format::OpenMetrics100));
        }
    }

    #[cfg(feature = "native-histograms")]
    #[test]
    fn protobuf_is_given_to_who_prefers_it_and_names_the_messages_we_have() {
        for accept in PROMETHEUS {
            assert_eq!(Answer::from_accept(accept), Answer::Protobuf);
        }
        let ours = "Application/Vnd.Google.Protobuf; Proto=\"io.prometheus.client.MetricFamily\"; Encoding=delimited";
        for (accept, wanted) in [
            (format!("{ours};q=0.5,text/plain;q=0.4"), Answer::Protobuf),
            (format!("{ours};q=0.5,application/openmetrics-text;q=0.5"), Answer::Protobuf),
            (format!("{ours};q=0.5,text/plain;q=0.6"), Answer::Text(Format::Classic)),
            (
                format!("{ours};q=0.5,application/openmetrics-text;q=0.501"),
                Answer::Text(Format::OpenMetrics100),
            ),
            (format!("{ours};q=0"), Answer::Text(Format::Classic)),
            (ours.replace("delimited", "text"), Answer::Text(Format::Classic)),
            (
                ours.replace("delimited", "compact-text") + ",application/openmetrics-text;q=0.1",
                Answer::Text(Format::OpenMetrics100),
            ),
            (ours.replace("MetricFamily", "Metric"), Answer::Text(Format::Classic)),
            (ours.replace("; Encoding=delimited", ""), Answer::Text(Format::Classic)),
            ("application/vnd.google.protobuf".to_owned(), Answer::Text(Format::Classic)),
            ("application/*".to_owned(), Answer::Text(Format::Classic)),
            ("*/*".to_owned(), Answer::Text(Format::Classic)),
        ] {
            assert_eq!(Answer::from_accept(&accept), wanted, "{accept}");
        }
    }

    #[test]
    fn weights_decide_and_zero_refuses() {
        let openmetrics = "application/openmetrics-text;version=1.0.0";
        assert_eq!(
            Answer::from_accept(&format!("{openmetrics};q=0.3,text/plain;q=0.301")),
            Answer::Text(Format::Classic)
        );
        assert_eq!(
            Answer::from_accept(&format!("{openmetrics};q=0.3,text/plain;q=0.2")),
            Answer::Text(Format::OpenMetrics100)
        );
        assert_eq!(Answer::from_accept(&format!("{openmetrics};q=0")), Answer::Text(Format::Classic));
        assert_eq!(
            Answer::from_accept(&format!("{openmetrics};q=0.1,text/plain;q=0,*/*;q=0.9")),
            Answer::Text(Format::OpenMetrics100)
        );
    }
}
