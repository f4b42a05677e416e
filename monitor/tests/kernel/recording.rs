//! Recordings of real resets: a replay prints what was printed live, and has what the kernel counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use monitor::view::EventView;
use rustix::process::Signal;

use crate::WithShared;
use crate::api::Api;
use crate::daemon::{Scratch, Watched};
use crate::ledger::Sent;
use crate::netns::Namespace;
use crate::oracle::Snmp;
use crate::sockets::{Family, Place, abort, send, wait_for_data, wait_for_reset};
use crate::{helper, machine, wait};

pub(crate) const TRIALS: &[WithShared] = &[
    ("a replay prints byte for byte what was printed while it was recorded", byte_for_byte),
    ("a recording stops by itself when it has what was asked for", enough),
    ("a recording that cannot be written says so and can be replayed up to there", no_room),
];

/// Names a file that gets a recording of the first trial. `docs/recording.md` tells what for.
const SAVE: &str = "SAVE_RECORDING";

/// `record` at work; its stderr tells when everything is attached.
struct Recording {
    process: Watched,
    directory: Scratch,
}

impl Recording {
    fn start(mut command: Command, options: &[&str]) -> Result<Self> {
        let directory = Scratch::create()?;
        let live = File::create(directory.file("live")?)?;
        command.args(["record", &directory.file("recording")?]).args(options);
        let process = Watched::spawn_to(&mut command, live.into())?;
        let recording = Self { process, directory };
        wait::until("the recording to begin", || {
            let lines = recording.process.stderr();
            let begun = lines.iter().any(|line| line.starts_with("recording "));
            Ok(if begun { Ok(()) } else { Err(lines.join("\n")) })
        })?;
        Ok(recording)
    }

    /// Waits for its end and returns its exit code and last words.
    fn end(&mut self) -> Result<(Option<i32>, String)> {
        let code = self.process.wait()?;
        Ok((code, self.process.stderr().pop().context("not a word")?))
    }

    fn live(&self) -> Result<String> {
        Ok(fs::read_to_string(self.directory.file("live")?)?)
    }

    /// Exit code, standard output and standard error.
    fn replay(&self, options: &[&str]) -> Result<(Option<i32>, String, String)> {
        let mut command = Command::new(machine::daemon());
        let output = command.args(["replay", &self.directory.file("recording")?]).args(options).output()?;
        Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
    }
}

fn events(lines: &str) -> Result<Vec<EventView>> {
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn byte_for_byte(api: &Api) -> Result<()> {
    // First the namespace, so that during the recording its number is nobody else's.
    let namespace = Namespace::create()?;
    let mut recording =
        Recording::start(helper::dying_with_parent(machine::daemon())?, &["--print", "-o", "json"])?;
    // Its number may have been another's, of which the daemon has counts already.
    let before = (Sent::of(&api.status()?.namespaces, namespace.inum).sum(), received(api, namespace.inum)?);
    let sent_by_kernel = namespace.enter(|| {
        for family in [Family::V4, Family::V6] {
            reset_in_several_ways(family)?;
        }
        Ok(Snmp::read()?.out_resets)
    })?;
    recording.process.signal(Signal::INT)?;
    let (code, words) = recording.end()?;
    ensure!(code == Some(0) && words.contains(" 0 lost"), "exit code {code:?}: {words}");

    let live = recording.live()?;
    let (code, replayed, complaint) = recording.replay(&["-o", "json"])?;
    ensure!(code == Some(0), "exit code {code:?}: {complaint}");
    ensure!(live == replayed, "the replay differs:\n{live}\n---\n{replayed}");

    // Whose verdict became final after it was shown is there twice.
    let ours: BTreeMap<_, _> = events(&replayed)?
        .into_iter()
        .filter(|event| event.netns == namespace.inum)
        .map(|event| (event.id, event.direction))
        .collect();
    let told = |direction: &str| ours.values().filter(|told| *told == direction).count() as u64;
    let sent_by_daemon = Sent::of(&api.status()?.namespaces, namespace.inum).sum() - before.0;
    let received = received(api, namespace.inum)? - before.1;
    ensure!(
        (told("sent"), told("received")) == (sent_by_kernel, received) && sent_by_daemon == sent_by_kernel,
        "{} and {} events, but {sent_by_kernel} and {received} resets:\n{replayed}",
        told("sent"),
        told("received")
    );
    ensure!(sent_by_kernel >= 10, "only {sent_by_kernel} resets: the trial is wrong");
    if let Some(path) = std::env::var_os(SAVE) {
        fs::copy(recording.directory.file("recording")?, path)?;
    }
    Ok(())
}

/// Resets and refusals that the daemon has counted as received in a namespace.
fn received(api: &Api, netns: u32) -> Result<u64> {
    let peers = api.peers_of(netns)?.peers;
    Ok(peers.iter().map(|peer| peer.counts.resets_received + peer.counts.refused_received).sum())
}

/// A refusal, both kinds of chosen resets, a late request, and one close without any reset.
fn reset_in_several_ways(family: Family) -> Result<()> {
    ensure!(Place::on_loopback(family).connect().is_err(), "the port is not closed");
    let service = Place::on_loopback(family).listen()?;
    let pair = service.pair()?;
    pair.exchange(2)?;
    abort(pair.client)?;
    wait_for_reset(&pair.server)?;
    let pair = service.pair()?;
    pair.exchange(1)?;
    send(&pair.client, b"unread")?;
    wait_for_data(&pair.server)?;
    drop(pair.server);
    wait_for_reset(&pair.client)?;
    let pair = service.pair()?;
    pair.exchange(1)?;
    let left = pair.close_server()?;
    send(&left.client, b"late")?;
    wait_for_reset(&left.client)?;
    let pair = service.pair()?;
    abort(pair.server)?;
    wait_for_reset(&pair.client)?;
    let pair = service.pair()?;
    pair.exchange(1)?;
    pair.finish();
    Ok(())
}

fn enough(_: &Api) -> Result<()> {
    const RECORDS: usize = 5;
    let mut recording = Recording::start(
        helper::dying_with_parent(machine::daemon())?,
        &["--events", "5", "--print", "-o", "json"],
    )?;
    Namespace::create()?.enter(|| reset_in_several_ways(Family::V4))?;
    let (code, words) = recording.end()?;
    ensure!(code == Some(0) && words.starts_with("recorded 5 records"), "exit code {code:?}: {words}");
    let (code, replayed, complaint) = recording.replay(&["-o", "json"])?;
    let live = recording.live()?;
    ensure!(code == Some(0), "exit code {code:?}: {complaint}");
    ensure!(live == replayed, "the replay differs:\n{live}\n---\n{replayed}");
    let (_, all, _) = recording.replay(&["-o", "json", "--idle-closes"])?;
    let told: BTreeSet<_> = events(&all)?.into_iter().map(|event| event.id).collect();
    ensure!(told.len() == RECORDS, "{all}");
    Ok(())
}

fn no_room(_: &Api) -> Result<()> {
    // Files may have 4 KiB, and a write beyond is an error instead of the end of the process.
    let mut command = helper::dying_with_parent("sh")?;
    command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh", machine::daemon()]);
    let mut recording = Recording::start(command, &[])?;
    Namespace::create()?.enter(|| {
        for _ in 0..3 {
            reset_in_several_ways(Family::V4)?;
        }
        Ok(())
    })?;
    let (code, words) = recording.end()?;
    ensure!(
        code == Some(1) && words.contains("write the recording") && words.contains("File too large"),
        "exit code {code:?}: {words}"
    );
    let (code, replayed, complaint) = recording.replay(&["-o", "json"])?;
    ensure!(code == Some(1) && complaint.contains("cut short"), "exit code {code:?}: {complaint}");
    ensure!(!events(&replayed)?.is_empty(), "nothing was replayed");
    Ok(())
}
