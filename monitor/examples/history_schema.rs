//! Prints the JSON Schema of the history. `cargo xtask docs` keeps it as `docs/schema/history.schema.json`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &monitor::http::schema::history_schema())?;
    writeln!(out)
}
