//! A real Prometheus on loopback of the calling thread's namespace: a trial says what it scrapes, and asks it what it knows.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::api::Api;
use crate::daemon::Scratch;
use crate::lab::Program;
use crate::wait;

/// What is shipped.
pub(crate) const RULES: [(&str, &str); 3] = [
    ("recording.yml", include_str!("../../../deploy/prometheus/recording.yml")),
    ("alerts.yml", include_str!("../../../deploy/prometheus/alerts.yml")),
    ("fleet.yml", include_str!("../../../deploy/prometheus/fleet.yml")),
];

/// Where the first one of a namespace is.
const PORT: u16 = 9090;

/// A running one. It ends with its trial.
#[derive(Debug)]
pub(crate) struct Prometheus {
    api: Api,
    _program: Program,
}

/// A series with its samples: when, and what.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) samples: Vec<(f64, f64)>,
}

impl Prometheus {
    /// Starts one with this configuration and these rules, which are in the directory of its files.
    pub(crate) fn start(files: &Scratch, config: &str, with_rules: impl Fn(&str) -> String) -> Result<Self> {
        Self::start_on(PORT, files, config, with_rules)
    }

    /// The same on another port of the namespace.
    pub(crate) fn start_on(
        port: u16,
        files: &Scratch,
        config: &str,
        with_rules: impl Fn(&str) -> String,
    ) -> Result<Self> {
        for (name, rules) in RULES {
            fs::write(files.file(name)?, with_rules(rules))?;
        }
        let path = files.file("prometheus.yml")?;
        fs::write(&path, config)?;
        let mut program = Program::start(
            "prometheus",
            &[
                &format!("--config.file={path}"),
                &format!("--storage.tsdb.path={}", files.file("prometheus")?),
                &format!("--web.listen-address=127.0.0.1:{port}"),
            ],
        )?;
        program.until_listening(port)?;
        let api = Api::at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        wait::until("Prometheus to be ready", || {
            Ok(api.get("/-/ready", "*/*").map(drop).map_err(|error| format!("{error:#}")))
        })?;
        Ok(Self { api, _program: program })
    }

    /// The samples of an expression, now.
    pub(crate) fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(expression)))?;
        Ok(answer["result"].as_array().context("no result")?.clone())
    }

    /// The value of the only sample of an expression; `None` where there is none.
    pub(crate) fn number(&self, expression: &str) -> Result<Option<f64>> {
        let samples = self.query(expression)?;
        let [sample] = samples.as_slice() else {
            ensure!(samples.is_empty(), "{expression} has several samples: {samples:?}");
            return Ok(None);
        };
        Ok(Some(number(&sample["value"][1])?))
    }

    /// Each series of a selector with a range, with its samples.
    pub(crate) fn series(&self, selector: &str) -> Result<Vec<Series>> {
        self.query(selector)?.iter().map(series).collect()
    }

    /// Where it is.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.api.address()
    }

    /// Its alerts of a name that are pending or firing.
    pub(crate) fn alerts(&self, name: &str) -> Result<Vec<Value>> {
        let answer = self.ask("/api/v1/alerts")?;
        let alerts = answer["alerts"].as_array().context("no alerts")?;
        Ok(alerts.iter().filter(|alert| alert["labels"]["alertname"] == name).cloned().collect())
    }

    fn ask(&self, path: &str) -> Result<Value> {
        let answer: Value = serde_json::from_slice(&self.api.get(path, "application/json")?.body)?;
        ensure!(answer["status"] == "success", "{answer}");
        Ok(answer["data"].clone())
    }
}

fn series(one: &Value) -> Result<Series> {
    let samples = one["values"].as_array().context("no samples")?.iter();
    let sample = |sample: &Value| Ok((sample[0].as_f64().context("no time")?, number(&sample[1])?));
    Ok(Series {
        labels: serde_json::from_value(one["metric"].clone())?,
        samples: samples.map(sample).collect::<Result<_>>()?,
    })
}

fn number(value: &Value) -> Result<f64> {
    let Some(text) = value.as_str() else { bail!("no number: {value}") };
    text.parse().with_context(|| format!("no number: {text}"))
}

/// In a query string.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat()
}
