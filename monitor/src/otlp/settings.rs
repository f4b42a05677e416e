//! The section `otlp` of the configuration file: where metrics are sent, and how.

use std::path::PathBuf;
use std::time::Duration;

use crate::alerts::settings::Time;
use crate::push::settings::{Address, Api, PushError, RETRY, TIMEOUT, TIMEOUTS, within, wrong};

/// The path of the protocol; a URL may end with it.
pub(super) const PATH: &str = "/v1/metrics";
const API: Api = Api { path: PATH, example: "http://collector:4318" };
/// As the periodic readers of OpenTelemetry's own libraries do it.
const INTERVAL: Duration = Duration::from_mins(1);

/// `[otlp]`. Unknown keys are errors.
#[derive(Clone, Debug, Default, serde::Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct OtlpFile {
    endpoint: Option<String>,
    interval: Option<Time>,
    timeout: Option<Time>,
    headers_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    bearer_token_file: Option<PathBuf>,
    username: Option<String>,
    password_file: Option<PathBuf>,
}

/// Where metrics are sent, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpSettings {
    /// The receiver.
    pub endpoint: Address,
    /// From the beginning of one request to that of the next.
    pub interval: Duration,
    /// For a whole request.
    pub timeout: Duration,
    /// The first wait after a failure, and the longest.
    pub retry: [Duration; 2],
    /// Headers of requests, read anew for each.
    pub headers_file: Option<PathBuf>,
}

impl OtlpFile {
    /// With the endpoint that was typed, if one was: it wins over that of the file. `None` where nothing is sent.
    pub fn settings(self, typed: Option<&str>) -> Result<Option<OtlpSettings>, PushError> {
        let is_empty = self == Self::default();
        let Self {
            endpoint,
            interval,
            timeout,
            headers_file,
            ca_file,
            bearer_token_file,
            username,
            password_file,
        } = self;
        // A variable that is set and empty says nothing.
        let typed = typed.filter(|url| !url.is_empty()).map(|url| (url, "--otlp-endpoint"));
        let written = endpoint.as_deref().map(|url| (url, "otlp.endpoint"));
        let Some((url, place)) = typed.or(written) else {
            if is_empty {
                return Ok(None);
            }
            let what = "there is none: give one such as http://collector:4318, or leave the section out";
            return Err(wrong("otlp.endpoint", what));
        };
        let endpoint = Address::parse(url, place, &API)?;
        let or = |place, given: Option<Time>, default, range| {
            given.map_or(Ok(default), |given| within(place, given, range))
        };
        let intervals = [Duration::from_secs(1), Duration::from_hours(1)];
        Ok(Some(OtlpSettings {
            endpoint: endpoint.with("otlp", ca_file, bearer_token_file, username, password_file)?,
            interval: or("otlp.interval", interval, INTERVAL, intervals)?,
            timeout: or("otlp.timeout", timeout, TIMEOUT, TIMEOUTS)?,
            retry: RETRY,
            headers_file,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::{OtlpFile, OtlpSettings};
    use crate::push::settings::Auth;

    fn settings(text: &str, typed: Option<&str>) -> Result<Option<OtlpSettings>, String> {
        let file: OtlpFile = toml::from_str(text).map_err(|error| error.to_string())?;
        file.settings(typed).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_sent_unless_somebody_says_where() {
        for typed in [None, Some("")] {
            assert_eq!(settings("", typed), Ok(None));
        }
    }

    #[test]
    fn the_endpoint_that_is_typed_wins_over_that_of_the_file_and_over_nothing_else() {
        let text = "endpoint = \"https://a:4318/\"\ninterval = \"15s\"\nbearer_token_file = \"/run/token\"\n";
        for (typed, name) in [
            (None, "a:4318"),
            (Some("http://[::1]:1/prefix/v1/metrics"), "[::1]:1/prefix"),
            (Some("http://b"), "b:80"),
        ] {
            let settings = settings(text, typed).unwrap().unwrap();
            assert_eq!((&*settings.endpoint.name(), settings.interval.as_secs()), (name, 15));
            assert_eq!(settings.endpoint.auth, Auth::Bearer("/run/token".into()));
        }
    }

    #[test]
    fn what_cannot_be_meant_says_where_and_what_to_do_and_repeats_no_password() {
        for (text, typed, wanted) in [
            (
                "",
                "collector:4318",
                "--otlp-endpoint: `collector:4318` is not a URL such as http://collector:4318",
            ),
            ("", "http://us:secret@a", "--otlp-endpoint: it has a name or password: use username"),
            ("endpoint = \"http://us:secret@a\"", "", "otlp.endpoint: it has a name or password"),
            ("endpoint = \"grpc://a\"", "", "otlp.endpoint: `grpc://a` is not"),
            ("interval = \"1s\"", "", "otlp.endpoint: there is none"),
            ("interval = \"0s\"", "http://a", "otlp.interval: it is 0s, and must be between 1s and 1h"),
            ("timeout = \"2m\"", "http://a", "otlp.timeout: it is 2m, and must be between"),
            ("ca_file = \"x\"", "http://a", "otlp.ca_file: it means something for https:// only"),
            ("username = \"us\"", "http://a", "otlp: give bearer_token_file, or"),
            ("headers = {}", "", "unknown field `headers`"),
        ] {
            let error = settings(text, Some(typed)).unwrap_err();
            assert!(error.contains(wanted) && !error.contains("secret"), "{text} {typed}: {error}");
        }
    }
}
