//! Recordings made in memory: the way there and back, and every way to be damaged or foreign.

use std::io::{self, Read as _};
use std::mem::offset_of;
use std::time::Duration;

use jiff::Timestamp;
use monitor_common::counters::Kind;
use monitor_common::record::{NO_SLOT, RECORD_BYTES, RECORD_VERSION, Record, known};

use super::format::{COMMON_BYTES, FRAME_BYTES, FrameKind, MAGIC, frame_checksum, frame_start};
use super::*;
use crate::clock::{Timebase, WallClock};
use crate::counts::Stories;
use crate::enrich::Enricher;
use crate::event::Told;
use crate::settle::Settled;
use crate::story::Stages;

const MS: Duration = Duration::from_millis(1);

fn wall(text: &str) -> WallClock {
    WallClock::from_pair(text.parse::<Timestamp>().unwrap(), Duration::ZERO)
}

fn header() -> Header {
    Header {
        made_by: "1.2.3".into(),
        kernel: "6.12.0-test".into(),
        hz: 250,
        reasons: vec![(3, "NO_SOCKET".into()), (14, "TCP_STATE".into())],
        wall: wall("2026-11-20T12:00:00.5Z"),
    }
}

/// One end of the connection between 10.0.0.1:`port` and 10.0.0.2:80.
fn record(kind: Kind, port: u16, time: Duration) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    let address = |last: u8| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last];
    put(offset_of!(Record, version), &RECORD_VERSION.to_le_bytes());
    put(offset_of!(Record, known), &(known::REASON | known::SOCKET).to_le_bytes());
    put(offset_of!(Record, time_ns), &u64::try_from(time.as_nanos()).unwrap().to_le_bytes());
    put(offset_of!(Record, slot), &NO_SLOT.to_le_bytes());
    put(offset_of!(Record, reason), &14u32.to_le_bytes());
    put(offset_of!(Record, kind), &[kind as u8]);
    let (local, remote) = if kind == Kind::ResetSent { ((2, 80), (1, port)) } else { ((1, port), (2, 80)) };
    put(offset_of!(Record, local_addr), &address(local.0));
    put(offset_of!(Record, local_port), &local.1.to_le_bytes());
    put(offset_of!(Record, remote_addr), &address(remote.0));
    put(offset_of!(Record, remote_port), &remote.1.to_le_bytes());
    put(offset_of!(Record, linger_zero), &[1]);
    bytes
}

/// Three records; the wall clock is set before the last one.
fn recording() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::start(&mut bytes, &header()).unwrap();
    writer.record(&record(Kind::ResetReceived, 4000, MS), MS, header().wall).unwrap();
    writer.record(&record(Kind::ResetSent, 4000, MS), 2 * MS, header().wall).unwrap();
    writer
        .record(&record(Kind::ResetReceived, 4001, 3 * MS), 3 * MS, wall("1969-12-31T23:59:58.25Z"))
        .unwrap();
    let written = writer.finish(5 * MS, 6, 7).unwrap();
    assert_eq!(written, Written { records: 3, bytes: bytes.len() as u64, lost: 6, suppressed: 7 });
    bytes
}

/// A reset whose sender is told when the receiver has been shown already.
pub(crate) fn with_a_late_sender() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::start(&mut bytes, &header()).unwrap();
    writer.record(&record(Kind::ResetReceived, 4000, MS), MS, header().wall).unwrap();
    writer.record(&record(Kind::ResetSent, 4000, 2 * MS), 40 * MS, header().wall).unwrap();
    writer.finish(50 * MS, 0, 0).unwrap();
    bytes
}

/// What a replay shows, and how it ends.
fn replay(bytes: &[u8]) -> (Vec<Told>, Result<Written, ReadError>) {
    let mut shown = Vec::new();
    let mut replay = match Replay::open(bytes) {
        Ok(replay) => replay,
        Err(error) => return (shown, Err(error)),
    };
    loop {
        let step = replay.step(&mut |settled| {
            if let Settled::Shown(told) = settled {
                shown.push((*told).clone());
            }
        });
        match step {
            Ok(Step::More) => {}
            Ok(Step::Ended(written)) => return (shown, Ok(written)),
            Err(error) => return (shown, Err(error)),
        }
    }
}

#[test]
fn the_format_is_documented_in_the_same_words_for_readers_of_code_and_of_documents() {
    let document = include_str!("../../../docs/recording.md");
    let rows: Vec<&str> = include_str!("../recording.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .filter(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() > 20);
    for row in rows {
        assert!(document.lines().any(|line| line == row), "{row}");
    }
}

#[test]
fn what_was_written_is_read() {
    let bytes = recording();
    let mut reader = Reader::open(&bytes[..]).unwrap();
    assert_eq!(reader.header(), &header());
    let first = record(Kind::ResetReceived, 4000, MS);
    assert_eq!(reader.frame().unwrap(), Frame::Record { at: MS, bytes: &first });
    assert!(matches!(reader.frame().unwrap(), Frame::Record { at, .. } if at == 2 * MS));
    assert_eq!(reader.frame().unwrap(), Frame::Clock(wall("1969-12-31T23:59:58.25Z")));
    assert!(matches!(reader.frame().unwrap(), Frame::Record { at, .. } if at == 3 * MS));
    let written = Written { records: 3, bytes: bytes.len() as u64, lost: 6, suppressed: 7 };
    assert_eq!(reader.frame().unwrap(), Frame::End { at: 5 * MS, written });
    assert_eq!(replay_bytes(&bytes).unwrap(), written);
}

#[test]
fn times_and_names_are_those_of_the_recording() {
    let (shown, _) = replay(&recording());
    let reason = shown[0].event.reason.as_ref().unwrap();
    assert_eq!((reason.code, reason.name.as_deref()), (14, Some("TCP_STATE")));
    let times: Vec<_> = shown.iter().map(|told| told.event.time.to_string()).collect();
    assert_eq!(times, ["2026-11-20T12:00:00.501Z", "2026-11-20T12:00:00.501Z", "1969-12-31T23:59:58.253Z"]);
}

#[test]
fn a_recording_that_is_cut_anywhere_says_so_and_gives_what_is_whole() {
    let bytes = recording();
    let (all, _) = replay(&bytes);
    let header_bytes = header().encode().unwrap().len();
    let frame = FRAME_BYTES + RECORD_BYTES;
    for length in 0..bytes.len() {
        let (shown, end) = replay(&bytes[..length]);
        let offset = length as u64;
        let error = end.unwrap_err();
        if length == 0 {
            assert!(matches!(error, ReadError::Foreign(Look::Empty)));
        } else if length < header_bytes {
            assert!(
                matches!(error, ReadError::CutHeader { offset: at } if at == offset),
                "{length}: {error}"
            );
        } else {
            let fits = |at, frame| at == offset && (1..=5).contains(&frame);
            assert!(
                matches!(error, ReadError::Cut { offset: at, frame } if fits(at, frame)),
                "{length}: {error}"
            );
        }
        let whole = match length.saturating_sub(header_bytes) {
            length if length < 2 * frame => length / frame,
            length if length < 3 * frame + 32 => 2,
            _ => 3,
        };
        assert_eq!(shown.len(), whole, "{length}");
        for (shown, all) in shown.iter().zip(&all) {
            assert_eq!(shown.event, all.event);
        }
    }
}

#[test]
fn no_byte_can_change_without_being_noticed() {
    let bytes = recording();
    let (all, _) = replay(&bytes);
    for place in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[place] ^= change;
            let (shown, end) = replay(&damaged);
            assert!(end.is_err(), "byte {place}");
            for (shown, all) in shown.iter().zip(&all) {
                assert_eq!(shown.event, all.event, "byte {place}");
            }
        }
    }
}

#[test]
fn foreign_files_are_named() {
    for (start, look) in [
        (&b""[..], Look::Empty),
        (b"\x1f\x8b\x08\0", Look::Gzip),
        (b"\x28\xb5\x2f\xfd\0", Look::Zstd),
        (b"\xfd7zXZ\0", Look::Xz),
        (b"\xd4\xc3\xb2\xa1\x02\0\x04\0", Look::Pcap),
        (b"\x0a\x0d\x0d\x0a\x1c\0\0\0", Look::Pcap),
        (b"{\"id\":1}\n", Look::Json),
        (b"TIME   DIR\n", Look::Text),
        ("Übersicht über Ä".as_bytes(), Look::Text),
        (b"\x89RMREC\n\x01\0\0\0", Look::Mangled),
        ("\u{fffd}RMREC\r\n".as_bytes(), Look::Mangled),
        (b"\x89PNG\r\n", Look::Unknown([0x89, b'P', b'N', b'G'])),
        (b"\x7f", Look::Unknown([0x7f, 0, 0, 0])),
    ] {
        let Err(ReadError::Foreign(found)) = replay_bytes(start) else { panic!("{start:?}") };
        assert_eq!(found, look, "{start:?}");
    }
}

/// The sample's header with bytes replaced at `place`, and the checksum right again.
fn header_with(place: usize, value: &[u8]) -> HeaderError {
    let mut bytes = header().encode().unwrap();
    bytes[place..place + value.len()].copy_from_slice(value);
    let covered = bytes.len() - 4;
    let checksum = crc32fast::hash(&bytes[..covered]).to_le_bytes();
    bytes[covered..].copy_from_slice(&checksum);
    let Err(ReadError::Header(error)) = replay_bytes(&bytes) else { panic!("{place}") };
    error
}

#[test]
fn a_header_of_another_version_says_what_to_use() {
    assert_eq!(header_with(8, &[2]), HeaderError::Format { version: 2 });
    assert!(header_with(8, &[2]).to_string().contains("newer"));
    assert!(header_with(8, &[0]).to_string().contains("older"));
    let other = header_with(16, &99u32.to_le_bytes());
    assert!(matches!(other, HeaderError::Records { version: 99, .. }), "{other}");
    assert!(other.to_string().contains("use reset-monitor 1.2.3"), "{other}");
    assert!(matches!(header_with(20, &[1]), HeaderError::Records { .. }));
}

#[test]
fn a_header_without_sense_is_refused_by_what_is_wrong() {
    for size in [0u32, 19, 65_537, u32::MAX] {
        assert_eq!(header_with(12, &size.to_le_bytes()), HeaderError::Size { size: size.into() });
    }
    for (place, value, field) in [
        (24, &[0; 4][..], "number of jiffies per second"),
        (28, &[0xff; 4], "time"),
        (32, &i64::MAX.to_le_bytes(), "time"),
        (40, &[0xff; 2], "version of its reset-monitor"),
        (42, &[0xff; 2], "kernel release"),
        (44, &[0xff; 2], "reason"),
        (48, &[0xff], "version of its reset-monitor"),
    ] {
        assert_eq!(header_with(place, value), HeaderError::Field { field });
    }
}

/// The header and these frames.
fn with_frames(frames: &[(FrameKind, &[u8])]) -> Vec<u8> {
    let mut bytes = header().encode().unwrap();
    for (kind, payload) in frames {
        bytes.extend(frame_start(*kind, MS, payload).unwrap());
        bytes.extend(*payload);
    }
    bytes
}

#[test]
fn a_damaged_frame_is_named_with_its_place() {
    let end = [0; 24];
    let begin = header().encode().unwrap().len() as u64;
    let fault = |bytes: &[u8]| {
        let Err(ReadError::Frame { offset, frame, fault }) = replay_bytes(bytes) else { panic!("{bytes:?}") };
        (offset - begin, frame, fault)
    };
    let mut long = with_frames(&[(FrameKind::End, &end)]);
    let at = usize::try_from(begin).unwrap();
    long[at + 2..at + 4].copy_from_slice(&4_097u16.to_le_bytes());
    assert_eq!(fault(&long), (0, 1, FrameFault::Length { length: 4_097 }));

    // A kind to come, right in itself.
    let mut unknown = with_frames(&[(FrameKind::End, &end)]);
    unknown[at] = 9;
    let checksum = frame_checksum(unknown[at..at + FRAME_BYTES].as_array().unwrap(), &end);
    unknown[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(fault(&unknown), (0, 1, FrameFault::Kind { code: 9 }));

    let nonsense = FrameFault::Content;
    assert_eq!(fault(&with_frames(&[(FrameKind::Clock, &[0; 15])])), (0, 1, nonsense));
    assert_eq!(fault(&with_frames(&[(FrameKind::Clock, &[0xff; 16])])), (0, 1, nonsense));
    assert_eq!(
        fault(&with_frames(&[(FrameKind::Clock, &[0; 16]), (FrameKind::End, &[])])),
        (32, 2, nonsense)
    );
    let missing = with_frames(&[(FrameKind::End, &[1; 24])]);
    assert_eq!(fault(&missing), (0, 1, FrameFault::Count { said: 0x0101_0101_0101_0101, were: 0 }));
    let doubled = with_frames(&[(FrameKind::End, &end), (FrameKind::End, &end)]);
    assert_eq!(fault(&doubled), (40, 2, FrameFault::AfterEnd));
}

#[test]
fn a_frame_doubled_or_left_out_is_noticed_at_the_end() {
    let bytes = recording();
    let (begin, frame) = (header().encode().unwrap().len(), FRAME_BYTES + RECORD_BYTES);
    let without = [&bytes[..begin], &bytes[begin + frame..]].concat();
    let doubled = [&bytes[..begin + frame], &bytes[begin..]].concat();
    for (damaged, were) in [(without, 2), (doubled, 4)] {
        let error = replay_bytes(&damaged).unwrap_err();
        let fault = FrameFault::Count { said: 3, were };
        assert!(matches!(error, ReadError::Frame { fault: found, .. } if found == fault), "{error}");
    }
}

#[test]
fn endless_input_ends_at_the_first_thing_that_is_wrong() {
    let header = header().encode().unwrap();
    assert!(matches!(Reader::open(io::repeat(0)).unwrap_err(), ReadError::Foreign(_)));
    let start = [&MAGIC[..], &[0xff; COMMON_BYTES - MAGIC.len()]].concat();
    assert!(matches!(Reader::open(start.chain(io::repeat(0xff))).unwrap_err(), ReadError::Header(_)));
    for byte in [0, 1, 0xff] {
        let mut reader = Reader::open(header.chain(io::repeat(byte))).unwrap();
        assert!(matches!(reader.frame().unwrap_err(), ReadError::Frame { .. }));
    }
}

#[test]
fn a_record_that_cannot_be_decoded_is_replayed_as_such() {
    let bytes = with_frames(&[
        (FrameKind::Record, b"not a record"),
        (FrameKind::End, &[&[1u8][..], &[0; 23]].concat()),
    ]);
    let mut replay = Replay::open(&bytes[..]).unwrap();
    assert_eq!(replay.step(&mut |_| panic!("shown")).unwrap(), Step::More);
    assert_eq!(replay.undecodable(), 1);
    assert!(matches!(replay.step(&mut |_| {}).unwrap(), Step::Ended(Written { records: 1, .. })));
}

/// The same numbers each time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Records in random order and at random times go through the stages, with timers that are in time, late, or absent, and
/// into a recording at once.
#[test]
fn a_replay_shows_what_was_shown_however_late_the_timers_were() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let mut stages =
            Stages::new(Timebase { wall: header().wall, hz: header().hz }, Enricher::new(&header().reasons));
        let (mut bytes, mut shown) = (Vec::new(), Vec::new());
        let mut out = |settled| match settled {
            Settled::Shown(told) => shown.push((*told).clone()),
            Settled::Revised(_) | Settled::InBurst(_) | Settled::Final(_) => {}
        };
        let mut writer = Writer::start(&mut bytes, &header()).unwrap();
        let mut now = MS;
        for _ in 0..60 {
            let kind = if dice.throw(2) == 0 { Kind::ResetSent } else { Kind::ResetReceived };
            let port = 4000 + u16::try_from(dice.throw(4)).unwrap();
            let taken = record(kind, port, now);
            if dice.throw(8) == 0 {
                let set = WallClock::from_pair(
                    Timestamp::from_second(dice.throw(1_000).cast_signed()).unwrap(),
                    now,
                );
                stages.set_timebase(Timebase { wall: set, hz: header().hz });
            }
            writer.record(&taken, now, stages.timebase().wall).unwrap();
            stages.take(&taken, now, &mut out).unwrap();
            let pause = [MS / 10, 7 * MS, 40 * MS, 700 * MS][usize::try_from(dice.throw(4)).unwrap()];
            let next = now + pause;
            for quarters in 0..5 {
                if dice.throw(3) == 0 {
                    stages.advance(now + pause * quarters / 4, &mut out);
                }
            }
            now = next;
        }
        stages.finish(now, &mut out);
        writer.finish(now, 0, 0).unwrap();
        let (again, end) = replay(&bytes);
        assert_eq!(end.unwrap().records, 60);
        assert_eq!(again, shown, "seed {seed}");
        assert!(shown.iter().any(|told| told.verdict.unwrap().other_end.is_some()));
    }
}

fn file(path: &std::path::Path) -> std::fs::File {
    std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap()
}

#[test]
fn a_recorder_takes_no_more_than_it_was_to_take() {
    let path = std::env::temp_dir().join(format!("reset-monitor-recorder-{}", std::process::id()));
    let mut recorder = Recorder::start(file(&path), "here".into(), &header(), Some(2)).unwrap();
    let taken: Vec<_> =
        (1..=3).map(|port| recorder.take(&record(Kind::ResetSent, port, MS), MS, header().wall)).collect();
    assert_eq!((taken, recorder.is_full()), (vec![true, true, false], true));
    recorder.flush().unwrap();
    let mut stories = Stories::default();
    stories.kinds[0].lost = 1;
    stories.kinds[2].lost = 2;
    stories.kinds[4].suppressed = 4;
    let written = recorder.finish(MS, &stories).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(written, Written { records: 2, bytes: bytes.len() as u64, lost: 3, suppressed: 4 });
    assert_eq!(replay_bytes(&bytes).unwrap(), written);
}

#[test]
fn a_full_disk_ends_a_recording_with_the_systems_own_words() {
    let full = || file("/dev/full".as_ref());
    let error = Recorder::start(full(), "here".into(), &header(), None).unwrap_err();
    let text = format!("{:#}", anyhow::Error::new(error));
    assert!(text.contains("here") && text.contains("No space left"), "{text}");
}
