//! What plays a scenario with the browser, for tests of either kind.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why nothing was played. A test that was left out must not look like one that passed.
const MISSING: &str =
    "not run: the browser is not here; `cargo xtask setup --tests` fetches it, `cargo xtask test` uses it";

/// Has `node` play a scenario against a server, and talk over its standard input and output.
pub(crate) fn prepare(node: &mut Command, server: SocketAddr, scenario: &str) -> Result<(), &'static str> {
    let tools = cached("browser").ok_or(MISSING)?;
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/play.mjs"));
    node.arg(&tools).arg(tools.join("bin/chromium-headless-shell"));
    node.arg(format!("http://{server}")).arg(scenario);
    node.stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(())
}

/// Where `cargo xtask setup` puts what tests call, if it is there.
pub(crate) fn cached(name: &str) -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("RESET_MONITOR_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("reset-monitor")))
        .or_else(|| Some(set("HOME")?.join(".cache/reset-monitor")))?;
    Some(cache.join(name)).filter(|tree| tree.is_dir())
}
