//! Prints the document of the API. `cargo xtask docs` keeps it as `docs/openapi.json`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &monitor::http::openapi::document())?;
    writeln!(out)
}
