//! The pictures of the README, of the real thing: a daemon in a network of its own, real connections that are really reset, the page in a
//! browser, and commands in a terminal. `cargo xtask pictures` builds what it needs and starts it, with names and network of its own:
//!
//! `pictures DAEMON BROWSER DIRECTORY SECONDS`
#![expect(clippy::expect_used, clippy::print_stderr, reason = "a tool of the repository, run by hand")]

mod pty;
mod svg;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::pty::Terminal;

/// Addresses of this host, its services and its clients.
const ADDRESSES: [&str; 8] =
    ["10.0.0.1", "10.0.0.5", "10.0.0.7", "10.0.0.20", "10.1.0.11", "10.1.0.12", "10.1.0.13", "10.1.0.14"];
/// Where the daemon listens, which nobody else does in this network.
const DAEMON: &str = "127.0.0.1:9777";

/// A process that ends with this one.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The same of one that has processes of its own, and ends with its input.
struct Traffic(Child);

impl Drop for Traffic {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [daemon, browser, directory, seconds] = &*arguments else {
        anyhow::bail!("pictures DAEMON BROWSER DIRECTORY SECONDS; `cargo xtask pictures` says them");
    };
    let seconds: u64 = seconds.parse().context("SECONDS is a number")?;
    network()?;
    let _daemon = start_daemon(daemon)?;
    let mut traffic = Command::new("python3");
    traffic.args(["-c", include_str!("traffic.py")]).stdin(Stdio::piped());
    let traffic = Traffic(traffic.spawn().context("start python3, which makes the traffic")?);
    eprintln!("pictures: {seconds} s of traffic");
    quiet_for(Duration::from_secs(seconds));
    fs::create_dir_all(directory)?;
    let directory = Path::new(directory);
    top(daemon, directory)?;
    explain(daemon, directory)?;
    page(browser, directory)?;
    drop(traffic);
    Ok(())
}

/// Connections must be quiet for as long as services keep them: there is no condition to wait for.
fn quiet_for(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "pictures are of what a while of traffic makes")]
    std::thread::sleep(time);
}

fn network() -> Result<()> {
    let run = |arguments: &[&str]| -> Result<()> {
        let status = Command::new("ip").args(arguments).status().context("start `ip` of iproute2")?;
        ensure!(status.success(), "ip {}: {status}", arguments.join(" "));
        Ok(())
    };
    run(&["link", "set", "lo", "up"])?;
    ADDRESSES.iter().try_for_each(|address| run(&["addr", "add", &format!("{address}/32"), "dev", "lo"]))
}

fn start_daemon(program: &str) -> Result<Running> {
    let lock = std::env::temp_dir().join(format!("reset-monitor-pictures-{}.lock", std::process::id()));
    let mut command = Command::new(program);
    // Others on this machine are reset, too: only what happens in this network has series and a past.
    command.args(["run", "--listen", DAEMON, "--metrics-namespace", "own", "--lock-file"]).arg(&lock);
    let mut child = Running(command.stderr(Stdio::piped()).spawn().context("start the daemon")?);
    let said = BufReader::new(child.0.stderr.take().context("its messages")?);
    let mut lines = said.lines();
    for line in lines.by_ref() {
        let line = line?;
        if line.contains("listening on") {
            // Whatever else it says must go somewhere.
            std::thread::spawn(move || lines.for_each(drop));
            drop(fs::remove_file(lock));
            return Ok(child);
        }
        eprintln!("daemon: {line}");
    }
    anyhow::bail!("the daemon ended; what it said is above")
}

fn command(program: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}

/// Rows of a screen down to the last one with text.
fn used(screen: &vt100::Screen) -> u16 {
    let (_, columns) = screen.size();
    let rows: Vec<String> = screen.rows(0, columns).collect();
    let last = rows.iter().rposition(|row| !row.trim().is_empty()).map_or(0, |last| last + 1);
    u16::try_from(last).expect("no terminal has more rows")
}

fn top(program: &str, directory: &Path) -> Result<()> {
    let mut top = Terminal::start(command(program, &["top", "--interval", "1"]), 110, 20)?;
    // Two answers, so that rates are known; then the peer with the most resets is looked at.
    top.until(|text| text.contains("10.0.0.5:8080") && text.contains("/s)"))?;
    let screen = top.until(|text| text.contains("node-1"))?;
    write(directory, "top.svg", &svg::draw(screen, screen.size().0))?;
    top.press("q")?;
    top.ended().map(drop)
}

fn explain(program: &str, directory: &Path) -> Result<()> {
    let words = ["explain", "10.0.0.5:8080", "--role", "client", "--software", "go"];
    let screen = Terminal::start(command(program, &words), 100, 80)?.ended()?;
    ensure!(screen.contents().contains("idle_reuse"), "explain says:\n{}", screen.contents());
    write(directory, "explain.svg", &svg::draw(&screen, used(&screen)))
}

fn page(browser: &str, directory: &Path) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pictures/page.mjs");
    let browser = Path::new(browser);
    let mut node = Command::new("node");
    node.arg(script).arg(browser).arg(browser.join("bin/chromium-headless-shell"));
    let status = node.arg(format!("http://{DAEMON}")).arg(directory).status().context("start node")?;
    ensure!(status.success(), "the browser: {status}");
    Ok(())
}

fn write(directory: &Path, name: &str, text: &str) -> Result<()> {
    let path = directory.join(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}
