//! The section `metrics` of the configuration file, and its flags: checked, and made one.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::{Namespace, Selection, Together};

/// Entries of a list at most: each is looked at for each new peer.
const MOST: usize = 1_000;

/// Flags about the metrics page.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which peers have series of their own at /metrics")]
pub struct MetricsArgs {
    /// Peers with series of their own at /metrics, at most half of them connecting to us; the rest is peer="other" [default: 200]
    #[arg(long, env = "RESET_MONITOR_PUBLISHED_PEERS", value_name = "COUNT")]
    pub published_peers: Option<u32>,
    /// Only peers in this network; repeatable [default: all]
    #[arg(
        long = "metrics-peer",
        env = "RESET_MONITOR_METRICS_PEERS",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub peers: Vec<String>,
    /// No peer in this network; repeatable
    #[arg(
        long = "metrics-except-peer",
        env = "RESET_MONITOR_METRICS_EXCEPT_PEERS",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub except_peers: Vec<String>,
    /// Tell peers in this network together, or with @BITS each network of so many bits in it, as in 0.0.0.0/0@24; repeatable
    #[arg(
        long = "metrics-network",
        env = "RESET_MONITOR_METRICS_NETWORKS",
        value_name = "NETWORK[@BITS]",
        value_delimiter = ','
    )]
    pub together: Vec<String>,
    /// Only peers of this service port, or of a range as in 8000-8099; repeatable [default: all]
    #[arg(
        long = "metrics-port",
        env = "RESET_MONITOR_METRICS_PORTS",
        value_name = "PORT",
        value_delimiter = ','
    )]
    pub ports: Vec<String>,
    /// No peer of this service port or range; repeatable
    #[arg(
        long = "metrics-except-port",
        env = "RESET_MONITOR_METRICS_EXCEPT_PORTS",
        value_name = "PORT",
        value_delimiter = ','
    )]
    pub except_ports: Vec<String>,
    /// Only peers in this network namespace: `own` for the daemon's, or an inode number; repeatable [default: all]
    #[arg(
        long = "metrics-namespace",
        env = "RESET_MONITOR_METRICS_NAMESPACES",
        value_name = "NAMESPACE",
        value_delimiter = ','
    )]
    pub namespaces: Vec<String>,
    /// Tell series of different network namespaces apart by a label `netns` [default: false]
    #[arg(
        long = "metrics-namespace-label",
        env = "RESET_MONITOR_METRICS_NAMESPACE_LABEL",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub namespace_label: Option<bool>,
}

/// `[metrics]`. Unknown keys are errors.
#[derive(Clone, Debug, Default, serde::Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct MetricsFile {
    peers: Option<Vec<String>>,
    except_peers: Option<Vec<String>>,
    networks: Option<Vec<String>>,
    ports: Option<Vec<PortText>>,
    except_ports: Option<Vec<PortText>>,
    namespaces: Option<Vec<NamespaceText>>,
    namespace_label: Option<bool>,
}

/// `443` or `"8000-8099"`.
#[derive(Clone, Debug, serde::Deserialize, PartialEq)]
#[serde(untagged, expecting = "a port, or a range of ports as \"8000-8099\"")]
enum PortText {
    One(u16),
    Text(String),
}

/// `"own"` or an inode number.
#[derive(Clone, Debug, serde::Deserialize, PartialEq)]
#[serde(untagged, expecting = "\"own\", or the inode number of a network namespace")]
enum NamespaceText {
    Number(u32),
    Text(String),
}

impl From<PortText> for String {
    fn from(text: PortText) -> Self {
        match text {
            PortText::One(port) => port.to_string(),
            PortText::Text(text) => text,
        }
    }
}

impl From<NamespaceText> for String {
    fn from(text: NamespaceText) -> Self {
        match text {
            NamespaceText::Number(number) => number.to_string(),
            NamespaceText::Text(text) => text,
        }
    }
}

/// An entry cannot be meant.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectionError {
    /// Not of its list's form.
    #[error("--{flag} (`{key}` in [metrics]): `{}` is {wanted}", .text.escape_debug())]
    Entry {
        /// The flag.
        flag: &'static str,
        /// The file's key.
        key: &'static str,
        /// What was given.
        text: String,
        /// What is wrong with it, and what is possible.
        wanted: &'static str,
    },
    /// Too long a list.
    #[error("--{flag} (`{key}` in [metrics]) has {count} entries: at most {MOST} are possible")]
    Many {
        /// The flag.
        flag: &'static str,
        /// The file's key.
        key: &'static str,
        /// How many there are.
        count: usize,
    },
}

impl MetricsFile {
    /// With what was typed, which wins list by list.
    pub fn selection(self, args: &MetricsArgs) -> Result<Selection, SelectionError> {
        let Self { peers, except_peers, networks, ports, except_ports, namespaces, namespace_label } = self;
        Ok(Selection {
            peers: list(["metrics-peer", "peers"], &args.peers, peers, network)?,
            except_peers: list(
                ["metrics-except-peer", "except_peers"],
                &args.except_peers,
                except_peers,
                network,
            )?,
            networks: list(["metrics-network", "networks"], &args.together, networks, together)?,
            ports: list(["metrics-port", "ports"], &args.ports, ports, port)?,
            except_ports: list(
                ["metrics-except-port", "except_ports"],
                &args.except_ports,
                except_ports,
                port,
            )?,
            namespaces: list(["metrics-namespace", "namespaces"], &args.namespaces, namespaces, namespace)?,
            namespace_label: args.namespace_label.or(namespace_label).unwrap_or(false),
            own: None,
        })
    }
}

fn list<T, S: Into<String>>(
    [flag, key]: [&'static str; 2],
    typed: &[String],
    written: Option<Vec<S>>,
    parse: fn(&str) -> Result<T, &'static str>,
) -> Result<Vec<T>, SelectionError> {
    let texts: Vec<String> = if typed.is_empty() {
        written.unwrap_or_default().into_iter().map(Into::into).collect()
    } else {
        typed.to_vec()
    };
    if texts.len() > MOST {
        return Err(SelectionError::Many { flag, key, count: texts.len() });
    }
    let parsed = texts.into_iter().map(|text| {
        let text = text.trim().to_owned();
        parse(&text).map_err(|wanted| SelectionError::Entry { flag, key, text, wanted })
    });
    parsed.collect()
}

/// An address, or a network without anything beyond its bits: who writes `10.1.2.3/8` may have meant either.
fn network(text: &str) -> Result<IpNet, &'static str> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_no_address) => {
            text.parse().map_err(|_no_network| "no address and no network, as in 10.0.0.0/8 or fd00::/8")?
        }
    };
    if network.trunc() == network {
        Ok(network)
    } else {
        Err("no network: it has bits beyond its length, as 10.1.2.3/8 has; 10.0.0.0/8 has none")
    }
}

fn together(text: &str) -> Result<Together, &'static str> {
    let Some((within, bits)) = text.split_once('@') else {
        let within = network(text)?;
        return Ok(Together { within, bits: within.prefix_len() });
    };
    let within = network(within)?;
    let bits =
        bits.parse().map_err(|_no_number| "without a number of bits behind the @, as in 0.0.0.0/0@24")?;
    if (within.prefix_len()..=within.max_prefix_len()).contains(&bits) {
        Ok(Together { within, bits })
    } else {
        Err("of more or of fewer bits than possible: from the network's own length to that of an address")
    }
}

fn port(text: &str) -> Result<RangeInclusive<u16>, &'static str> {
    const WANTED: &str = "no port from 1 to 65535 and no range of them, as in 443 or 8000-8099";
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or(WANTED);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = number(first)?..=number(last)?;
    if range.is_empty() { Err("a range that ends before it begins") } else { Ok(range) }
}

fn namespace(text: &str) -> Result<Namespace, &'static str> {
    match text {
        "own" => Ok(Namespace::Own),
        _ => text.parse().map(Namespace::Number).map_err(
            |_no_number| "neither `own` nor the inode number of a network namespace (`lsns -t net`)",
        ),
    }
}
