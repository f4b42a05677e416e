//! Prints a JSON Schema: `json_schema NAME`. `cargo xtask docs` keeps them as `docs/schema/NAME.schema.json`.

use std::io::{Error, Write as _};

use monitor::http::schema;

fn main() -> std::io::Result<()> {
    let name = std::env::args().nth(1);
    let schema = match name.as_deref() {
        Some("check") => schema::check_schema(),
        Some("event") => schema::event_schema(),
        Some("history") => schema::history_schema(),
        Some("probe") => schema::probe_schema(),
        Some(_) | None => return Err(Error::other("json_schema check|event|history|probe")),
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &schema)?;
    writeln!(out)
}
