//! Settings by what they are for, in the exact syntax of each software. A value that was not seen stays a blank to fill in. Pure.

pub mod ending;
pub mod keepalive;
pub mod queues;
pub mod retry;

/// What has settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
#[expect(missing_docs, reason = "names of software")]
pub enum Software {
    Nginx,
    #[value(name = "haproxy")]
    HaProxy,
    Envoy,
    Go,
    Node,
    /// Apache `HttpClient` 5.
    #[value(name = "httpclient", alias = "java")]
    HttpClient,
    /// Tomcat, also within Spring Boot.
    #[value(alias = "spring")]
    Tomcat,
    /// ALB, NLB and target groups.
    #[value(aliases = ["alb", "nlb"])]
    Aws,
    IngressNginx,
    #[value(alias = "k8s")]
    Kubernetes,
    #[value(alias = "sysctl")]
    Kernel,
}

impl Software {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::Nginx,
        Self::HaProxy,
        Self::Envoy,
        Self::Go,
        Self::Node,
        Self::HttpClient,
        Self::Tomcat,
        Self::Aws,
        Self::IngressNginx,
        Self::Kubernetes,
        Self::Kernel,
    ];

    /// As JSON and the option spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::HaProxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Go => "go",
            Self::Node => "node",
            Self::HttpClient => "httpclient",
            Self::Tomcat => "tomcat",
            Self::Aws => "aws",
            Self::IngressNginx => "ingress-nginx",
            Self::Kubernetes => "kubernetes",
            Self::Kernel => "kernel",
        }
    }
}

/// Where in the chain a setting belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The end that connects.
    Client,
    /// The end that accepts.
    Server,
    /// Between them, or either end.
    Path,
}

impl Side {
    /// As JSON spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Path => "path",
        }
    }
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Of what.
    pub software: Software,
    /// At which end.
    pub side: Side,
    /// The lines to paste. What was not seen is a blank such as `<seconds>`.
    pub setting: String,
    /// The value in it; `None` when it is a blank, or there is none.
    pub value: Option<String>,
    /// Where the lines go.
    pub place: &'static str,
}

/// One without a value that depends on what was seen.
fn fixed(software: Software, side: Side, setting: &str, place: &'static str) -> Setting {
    Setting { software, side, setting: setting.to_owned(), value: None, place }
}

/// One whose `{}` is a number, or the blank for it.
fn filled(
    software: Software,
    side: Side,
    (template, blank): (&str, &str),
    number: Option<u64>,
    place: &'static str,
) -> Setting {
    let value = number.map(|number| number.to_string());
    let setting = template.replace("{}", value.as_deref().unwrap_or(blank));
    Setting { software, side, setting, value, place }
}

/// Times a thousand, for what counts in milliseconds.
fn thousandfold(seconds: Option<u64>) -> Option<u64> {
    seconds.map(|seconds| seconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn software_is_spelt_alike_in_json_and_as_an_option() {
        for software in Software::ALL {
            assert_eq!(software.to_possible_value().unwrap().get_name(), software.name());
            assert_eq!(Software::from_str(software.name(), false), Ok(software));
        }
        assert_eq!(Software::value_variants(), Software::ALL);
    }

    #[test]
    fn a_value_that_was_not_seen_is_a_blank_and_none() {
        let of =
            |number| filled(Software::Go, Side::Client, ("IdleConnTimeout: {}", "<seconds>"), number, "");
        assert_eq!(
            (of(Some(55)).setting, of(Some(55)).value),
            ("IdleConnTimeout: 55".into(), Some("55".into()))
        );
        assert_eq!((of(None).setting, of(None).value), ("IdleConnTimeout: <seconds>".into(), None));
    }
}
