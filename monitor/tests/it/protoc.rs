//! protoc: what Google's own decoder reads in a message, by the descriptors that OpenTelemetry publishes.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use crate::promtool::{fetched, with_file};

/// A message of OTLP as a tree. Each field is a list, since any may be there more than once. Numbers are as protoc prints them.
pub(crate) fn decode(message: &str, bytes: &[u8]) -> Value {
    let text = with_descriptors(|descriptors| {
        run(&[&format!("--descriptor_set_in={descriptors}"), &format!("--decode={message}")], bytes)
    });
    tree(&mut text.lines())
}

fn with_descriptors<T>(then: impl FnOnce(&str) -> T) -> T {
    with_file("descriptors", "", |path| {
        std::fs::write(path, opentelemetry_proto::DESCRIPTORS).unwrap();
        then(path)
    })
}

fn run(arguments: &[&str], input: &[u8]) -> String {
    for program in [Some("protoc".into()), fetched("protoc")].into_iter().flatten() {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else { continue };
        // It reads all before it writes.
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return String::from_utf8(output.stdout).unwrap();
    }
    panic!("protoc is not here; `cargo xtask setup` fetches it, `cargo xtask test` uses it");
}

/// `name {`, `name: value` and `}`, a line each.
fn tree(lines: &mut std::str::Lines<'_>) -> Value {
    let mut fields: Map<String, Value> = Map::new();
    while let Some(line) = lines.next().map(str::trim) {
        let (name, value) = match line.split_once(": ") {
            Some((name, value)) if !name.ends_with('{') => (name, leaf(value)),
            _ if line == "}" => break,
            _ => (line.strip_suffix(" {").unwrap(), tree(lines)),
        };
        fields.entry(name).or_insert_with(|| Value::Array(Vec::new())).as_array_mut().unwrap().push(value);
    }
    Value::Object(fields)
}

fn leaf(text: &str) -> Value {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).into()
}
