//! What the daemon publishes, read by the tools that users have.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::AloneWithShared;
use crate::api::Api;
use crate::needs::Need;

pub(crate) const TRIALS: &[AloneWithShared] = &[
    ("the metrics please promtool", Some(Need::Promtool), promtool),
    ("the metrics please a strict OpenMetrics parser", Some(Need::OneKernel), open_metrics),
];

/// Accept header of a Prometheus that prefers `OpenMetrics`.
const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

const PARSER: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
names = {family.name for family in families}
assert 'reset_monitor_connections_opened' in names, names
assert 'reset_monitor_resets_sent' in names, names
";

fn promtool(api: &Api) -> Result<()> {
    let answer = api.get("/metrics", "text/plain;version=0.0.4")?;
    ensure!(answer.head.contains("content-type: text/plain; version=0.0.4"), "wrong type:\n{}", answer.head);
    feed(Command::new("promtool").args(["check", "metrics"]), &answer.body)
}

fn open_metrics(api: &Api) -> Result<()> {
    let answer = api.get("/metrics", OPEN_METRICS)?;
    ensure!(
        answer.head.contains("content-type: application/openmetrics-text"),
        "wrong type:\n{}",
        answer.head
    );
    ensure!(answer.body.ends_with(b"# EOF\n"), "no end mark");
    feed(Command::new("python3").args(["-c", PARSER]), &answer.body)
}

/// Every event that is kept, as whatever the trials did has left them, fits the published schema.
pub(crate) fn events_fit_the_schema(api: &Api) -> Result<()> {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/schema/event.schema.json"))?;
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema)?;
    let mut next = 0;
    loop {
        let answer = api.get(&format!("/api/v1/events?idle_closes=true&limit=1000&after={next}"), "*/*")?;
        let page: Value = serde_json::from_slice(&answer.body)?;
        for event in page["events"].as_array().context("no list of events")? {
            let faults: Vec<_> = validator
                .iter_errors(event)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            ensure!(faults.is_empty(), "{}\nin {event}", faults.join("\n"));
        }
        let last = std::mem::replace(&mut next, page["next"].as_u64().context("no next id")?);
        if next == last {
            return Ok(());
        }
    }
}

fn feed(command: &mut Command, input: &[u8]) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}; `cargo xtask test` provides it"))?;
    child.stdin.take().context("no stdin")?.write_all(input)?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(
        !said.contains("No module named 'prometheus_client'"),
        "python3 has no prometheus_client; `cargo xtask test` provides it"
    );
    ensure!(output.status.success() && said.is_empty(), "{program} objects:\n{said}");
    Ok(())
}
