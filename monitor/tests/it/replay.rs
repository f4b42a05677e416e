//! `replay` and `record` as a user meets them: the binary, a recording of real resets, and what may have happened to it.
//!
//! `docs/recording.md` tells how the recording and what is expected of it are made anew.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use monitor::recording::replay_bytes;

const RECORDING: &[u8] = include_bytes!("golden/resets.recording");
const TABLE: &str = include_str!("golden/resets.table.txt");
const JSON: &str = include_str!("golden/resets.json.txt");

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/resets.recording")
}

/// What a run of the binary gave.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the binary with these words and this standard input.
fn run(words: &[&str], input: &[u8]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_reset-monitor"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A recording of this size fits into a pipe. The binary may refuse to read all of it.
    drop(child.stdin.take().unwrap().write_all(input));
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[track_caller]
fn assert_lines(text: &str, golden: &str) {
    for (number, (ours, wanted)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(ours, wanted, "line {}", number + 1);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}

#[test]
fn a_replay_prints_what_it_has_always_printed() {
    let path = golden();
    let file = path.to_str().unwrap();
    for (options, golden) in [(&["-o", "table"][..], TABLE), (&["-o", "json"], JSON)] {
        let ran = run(&[&["replay", file][..], options].concat(), b"");
        assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
        assert_lines(&ran.stdout, golden);
    }
}

#[test]
fn a_recording_may_come_from_standard_input() {
    let ran = run(&["replay", "-"], RECORDING);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    assert_lines(&ran.stdout, TABLE);
}

#[test]
fn a_replay_can_be_filtered_like_events() {
    let ran =
        run(&["replay", "-", "--direction", "sent", "--cause", "linger_abort", "-o", "json"], RECORDING);
    let wanted =
        |line: &&str| line.contains(r#""direction":"sent""#) && line.contains(r#""cause":"linger_abort""#);
    let expected: Vec<&str> = JSON.lines().filter(wanted).collect();
    assert!(!expected.is_empty());
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected);
    let all = run(&["replay", "-", "--idle-closes", "-o", "json"], RECORDING).stdout;
    assert_eq!(all.lines().count() as u64, replay_bytes(RECORDING).unwrap().records);
}

#[test]
fn a_replay_has_every_output_that_events_has() {
    let compact = run(&["replay", "-", "-o", "compact"], RECORDING);
    assert_eq!((compact.code, &*compact.stderr), (Some(0), ""));
    // A table begins with its head.
    assert_eq!(compact.stdout.lines().count() + 1, TABLE.lines().count());
}

#[test]
fn a_recording_that_was_cut_is_replayed_up_to_there_and_fails() {
    let cut = RECORDING.len() - 600;
    let ran = run(&["replay", "-", "-o", "json"], &RECORDING[..cut]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.lines().count() >= 10 && JSON.starts_with(&ran.stdout), "{}", ran.stdout);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    for part in ["standard input", "records were good", "cut short", &format!("byte {cut}")] {
        assert!(ran.stderr.contains(part), "{part} is not in {}", ran.stderr);
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_in_one_line() {
    let mut damaged = RECORDING.to_vec();
    damaged[RECORDING.len() / 2] ^= 1;
    let mut newer = RECORDING.to_vec();
    newer[8] = 2;
    for (input, words) in [
        (&damaged[..], "damaged: frame"),
        (&newer, "header"),
        (&RECORDING[..100], "ends in its header"),
        (b"", "it is empty"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "gzip -dc"),
        (JSON.as_bytes(), "it is JSON"),
        (TABLE.as_bytes(), "it is text"),
    ] {
        let ran = run(&["replay", "-"], input);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains(words) && ran.stderr.lines().count() == 1, "{words}: {}", ran.stderr);
    }
    let ran = run(&["replay", "/does/not/exist"], b"");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("/does/not/exist") && ran.stderr.contains("No such file"), "{}", ran.stderr);
}

#[test]
fn what_record_cannot_mean_is_refused_before_anything_is_attached() {
    let path = golden();
    let file = path.to_str().unwrap();
    for (words, wanted) in [
        (&["record", file][..], "--force"),
        (&["record", "-", "--print"], "standard output"),
        (&["record", "new", "--events", "0"], "--events"),
        (&["record", "new", "-o", "json"], "--print"),
        (&["record"], "FILE"),
        (&["replay"], "FILE"),
    ] {
        let ran = run(words, b"");
        assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(wanted) && ran.stderr.lines().count() == 1, "{words:?}: {}", ran.stderr);
    }
}
