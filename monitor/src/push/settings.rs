//! The section `push` of the configuration file: which Alertmanagers are told, and how.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use axum::http::uri::{Authority, Scheme, Uri};

use crate::alerts::settings::Time;

/// Time from one telling of a firing alert to the next. Alertmanager takes one for over when it was not told for four times as long.
const RESEND: Duration = Duration::from_mins(1);
/// Time for a whole request.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// The least and the most that can be set.
pub(crate) const TIMEOUTS: [Duration; 2] = [Duration::from_millis(100), Duration::from_mins(1)];
/// The first wait after a failure, and the longest.
pub(crate) const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_mins(1)];
/// Instances at most: each has a task.
const MOST: usize = 16;
/// Labels that say which alert it is.
const OWN: [&str; 8] = ["alertname", "severity", "peer", "port", "role", "netns", "listener", "signal"];

/// `[push]`. Unknown keys are errors.
#[derive(Clone, Debug, Default, serde::Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct PushFile {
    resend: Option<Time>,
    timeout: Option<Time>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    alertmanagers: Vec<AlertmanagerFile>,
}

/// `[[push.alertmanagers]]`.
#[derive(Clone, Debug, serde::Deserialize, PartialEq)]
#[serde(deny_unknown_fields, expecting = "a table with `url`, as [[push.alertmanagers]] begins it")]
struct AlertmanagerFile {
    url: String,
    ca_file: Option<PathBuf>,
    bearer_token_file: Option<PathBuf>,
    username: Option<String>,
    password_file: Option<PathBuf>,
}

/// How an instance knows us. Files are read anew for each request, so that secrets can be exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// It does not ask.
    None,
    /// By what this file has.
    Bearer(PathBuf),
    /// By a name, and a password that this file has.
    Basic(String, PathBuf),
}

/// Where an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether TLS is spoken there.
    pub encrypted: bool,
    /// Host and port, if one is given.
    pub authority: Authority,
    /// Before the API's own path.
    pub prefix: String,
    /// Whom to believe there, instead of whom this host believes (PEM).
    pub ca_file: Option<PathBuf>,
    /// How it knows us.
    pub auth: Auth,
}

/// Who is told, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct PushSettings {
    /// Each is told everything.
    pub alertmanagers: Vec<Address>,
    /// Besides those of the alert.
    pub labels: BTreeMap<String, String>,
    /// Time from one telling of a firing alert to the next.
    pub resend: Duration,
    /// Time for a whole request.
    pub timeout: Duration,
    /// The first wait after a failure, and the longest.
    pub retry: [Duration; 2],
}

impl Default for PushSettings {
    fn default() -> Self {
        Self {
            alertmanagers: Vec::new(),
            labels: BTreeMap::new(),
            resend: RESEND,
            timeout: TIMEOUT,
            retry: RETRY,
        }
    }
}

/// Something that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct PushError {
    /// The key, from the top of the file, or the flag.
    place: String,
    /// What is wrong with it, and what is possible.
    what: String,
}

impl PushFile {
    /// With the instances that were typed, if any were: they win over all of the file.
    pub fn settings(self, typed: &[String]) -> Result<PushSettings, PushError> {
        let Self { resend, timeout, labels, alertmanagers } = self;
        // A variable that is set and empty says nothing.
        let typed: Vec<&String> = typed.iter().filter(|url| !url.is_empty()).collect();
        let mut settings = PushSettings::default();
        let minute = Duration::from_mins(1);
        for (key, given, into, range) in [
            ("push.resend", resend, &mut settings.resend, [Duration::from_secs(1), minute * 5]),
            ("push.timeout", timeout, &mut settings.timeout, TIMEOUTS),
        ] {
            *into = given.map_or(Ok(*into), |given| within(key, given, range))?;
        }
        for name in labels.keys() {
            if OWN.contains(&&**name) {
                return Err(wrong(
                    "push.labels",
                    format!("`{name}` is a label of alerts: choose another name"),
                ));
            }
            if !is_label(name) {
                let what = format!("`{name}` is no name of a label: letters, digits and _, no digit first");
                return Err(wrong("push.labels", what));
            }
        }
        settings.labels = labels;
        settings.alertmanagers = if typed.is_empty() {
            let of = |(number, file): (u32, AlertmanagerFile)| {
                file.address(&format!("push.alertmanagers, number {number}"))
            };
            (1..).zip(alertmanagers).map(of).collect::<Result<_, _>>()?
        } else {
            typed
                .into_iter()
                .map(|url| Address::parse(url, "--alertmanager", &API))
                .collect::<Result<_, _>>()?
        };
        if settings.alertmanagers.len() > MOST {
            return Err(wrong("push.alertmanagers", format!("at most {MOST} can be told")));
        }
        let mut names = HashSet::new();
        if let Some(twice) =
            settings.alertmanagers.iter().map(Address::name).find(|name| !names.insert(name.clone()))
        {
            return Err(wrong("push.alertmanagers", format!("{twice} is there twice: name each once")));
        }
        Ok(settings)
    }
}

impl AlertmanagerFile {
    fn address(self, place: &str) -> Result<Address, PushError> {
        let Self { url, ca_file, bearer_token_file, username, password_file } = self;
        let address = Address::parse(&url, &format!("{place}.url"), &API)?;
        address.with(place, ca_file, bearer_token_file, username, password_file)
    }
}

/// What a URL is the address of.
#[derive(Debug)]
pub(crate) struct Api {
    /// A URL may end with it.
    pub(crate) path: &'static str,
    pub(crate) example: &'static str,
}

const API: Api = Api { path: "/api/v2/alerts", example: "http://alertmanager:9093" };

impl Address {
    /// Host, port and path, for messages and metrics.
    pub fn name(&self) -> String {
        format!("{}:{}{}", self.authority.host(), self.port(), self.prefix)
    }

    /// The port that is given, or the usual one.
    pub fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.encrypted { 443 } else { 80 })
    }

    /// A URL, to be used without secrets.
    pub(crate) fn parse(url: &str, place: &str, api: &Api) -> Result<Self, PushError> {
        let bad = || wrong(place, format!("`{url}` is not a URL such as {}", api.example));
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        if after_scheme.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
            // The URL itself is not repeated, however else it is wrong: it has a password.
            return Err(wrong(place, "it has a name or password: use username and password_file instead"));
        }
        let uri: Uri = url.parse().or(Err(bad()))?;
        let encrypted = uri.scheme() == Some(&Scheme::HTTPS);
        if (!encrypted && uri.scheme() != Some(&Scheme::HTTP)) || uri.query().is_some() {
            return Err(bad());
        }
        let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or_else(bad)?;
        let path = uri.path().trim_end_matches('/');
        let prefix = path.strip_suffix(api.path).unwrap_or(path).to_owned();
        Ok(Self { encrypted, authority: authority.clone(), prefix, ca_file: None, auth: Auth::None })
    }

    /// With whom to believe there, and how it knows us.
    pub(crate) fn with(
        self,
        place: &str,
        ca_file: Option<PathBuf>,
        bearer_token_file: Option<PathBuf>,
        username: Option<String>,
        password_file: Option<PathBuf>,
    ) -> Result<Self, PushError> {
        let auth = match (bearer_token_file, username, password_file) {
            (None, None, None) => Auth::None,
            (Some(file), None, None) => Auth::Bearer(file),
            (None, Some(name), Some(_)) if name.contains(':') => {
                return Err(wrong(format!("{place}.username"), "it must be without `:`"));
            }
            (None, Some(name), Some(file)) => Auth::Basic(name, file),
            (Some(_) | None, _, _) => {
                let what = "give bearer_token_file, or username with password_file, or none of them";
                return Err(wrong(place, what));
            }
        };
        if ca_file.is_some() && !self.encrypted {
            return Err(wrong(format!("{place}.ca_file"), "it means something for https:// only"));
        }
        Ok(Self { ca_file, auth, ..self })
    }
}

/// A time that was set, if it can be meant.
pub(crate) fn within(
    place: &str,
    Time(time): Time,
    [low, high]: [Duration; 2],
) -> Result<Duration, PushError> {
    if (low..=high).contains(&time) {
        return Ok(time);
    }
    let [time, low, high] = [time, low, high].map(crate::alerts::text::time);
    Err(wrong(place, format!("it is {time}, and must be between {low} and {high}")))
}

fn is_label(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

pub(crate) fn wrong(place: impl Into<String>, what: impl Into<String>) -> PushError {
    PushError { place: place.into(), what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::{Auth, PushFile, PushSettings};

    fn settings(text: &str, typed: &[&str]) -> Result<PushSettings, String> {
        let file: PushFile = toml::from_str(text).map_err(|error| error.to_string())?;
        let typed: Vec<String> = typed.iter().map(|url| (*url).to_owned()).collect();
        file.settings(&typed).map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_is_told_unless_somebody_says_so() {
        for typed in [[].as_slice(), &[""]] {
            assert_eq!(settings("", typed), Ok(PushSettings::default()), "{typed:?}");
        }
    }

    #[test]
    fn a_url_alone_is_no_instance_in_the_file() {
        let error = settings("alertmanagers = [\"http://am-0:9093\"]\n", &[]).unwrap_err();
        assert!(error.contains("expected a table with `url`, as [[push.alertmanagers]]"), "{error}");
    }

    #[test]
    fn instances_have_their_own_address_and_secrets_and_typed_ones_win() {
        let text = "resend = \"30s\"\n[labels]\ncluster = \"a\"\n\
            [[alertmanagers]]\nurl = \"http://am-0:9093/prefix/\"\nbearer_token_file = \"/run/token\"\n\
            [[alertmanagers]]\nurl = \"https://[::1]\"\nusername = \"us\"\npassword_file = \"/run/password\"\nca_file = \"/run/ca\"\n";
        let of = settings(text, &[]).unwrap();
        let [first, second] = of.alertmanagers.as_slice() else { panic!("{of:?}") };
        assert_eq!(
            (first.name().as_str(), first.prefix.as_str(), first.encrypted),
            ("am-0:9093/prefix", "/prefix", false)
        );
        assert_eq!(first.auth, Auth::Bearer("/run/token".into()));
        assert_eq!((second.name().as_str(), second.encrypted), ("[::1]:443", true));
        assert_eq!(second.auth, Auth::Basic("us".to_owned(), "/run/password".into()));
        assert_eq!((of.resend.as_secs(), &*of.labels["cluster"]), (30, "a"));
        let typed = settings(text, &["http://127.0.0.1:1"]).unwrap();
        assert_eq!(typed.alertmanagers.len(), 1);
        assert_eq!(typed.alertmanagers[0].name(), "127.0.0.1:1");
    }

    #[test]
    fn what_cannot_be_meant_says_where_and_what_to_do_and_repeats_no_password() {
        for (text, typed, wanted) in [
            ("", "am-0:9093", "--alertmanager: `am-0:9093` is not a URL such as"),
            ("", "ftp://am-0", "is not a URL such as http://alertmanager:9093"),
            ("", "http://us:secret@am-0", "--alertmanager: it has a name or password: use username"),
            ("", "https://us:secret@am-0/?x", "--alertmanager: it has a name or password: use username"),
            ("", "ftp://us:secret@am-0", "--alertmanager: it has a name or password: use username"),
            ("", "us:secret@am-0:port", "--alertmanager: it has a name or password: use username"),
            ("resend = \"1h\"\n", "", "push.resend: it is 1h, and must be between 1s and 5m"),
            ("[labels]\npeer = \"x\"\n", "", "push.labels: `peer` is a label of alerts"),
            ("[labels]\n\"a b\" = \"x\"\n", "", "push.labels: `a b` is no name of a label"),
            ("urls = []\n", "", "unknown field `urls`"),
            (
                "[[alertmanagers]]\nurl = \"http://a\"\nusername = \"us\"\n",
                "",
                "push.alertmanagers, number 1: give bearer_token_file",
            ),
            ("[[alertmanagers]]\nurl = \"http://a\"\nca_file = \"x\"\n", "", "https:// only"),
            ("[[alertmanagers]]\nca_file = \"x\"\n", "", "missing field `url`"),
        ] {
            let typed: Vec<&str> = Some(typed).filter(|url| !url.is_empty()).into_iter().collect();
            let error = settings(text, &typed).unwrap_err();
            assert!(error.contains(wanted) && !error.contains("secret"), "{text} {typed:?}: {error}");
        }
    }
}
