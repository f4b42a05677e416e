//! Decoding against records written by hand, byte by byte.

use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::clock::WallClock;

fn timebase() -> Timebase {
    Timebase { wall: WallClock::from_pair(Timestamp::UNIX_EPOCH, Duration::ZERO), hz: 250 }
}

/// A record of `kind` with everything else zero and no slot.
fn record(kind: u8) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[..4].copy_from_slice(&RECORD_VERSION.to_le_bytes());
    bytes[offset_of("slot")..][..4].copy_from_slice(&NO_SLOT.to_le_bytes());
    bytes[offset_of("kind")] = kind;
    bytes
}

/// Offsets by the ABI's own definition, so that reading in another order is seen.
fn offset_of(field: &str) -> usize {
    use monitor_common::record::Record;
    match field {
        "known" => std::mem::offset_of!(Record, known),
        "time_ns" => std::mem::offset_of!(Record, time_ns),
        "slot" => std::mem::offset_of!(Record, slot),
        "kind" => std::mem::offset_of!(Record, kind),
        "role" => std::mem::offset_of!(Record, role),
        "comm" => std::mem::offset_of!(Record, comm),
        "remote_addr" => std::mem::offset_of!(Record, remote_addr),
        "remote_port" => std::mem::offset_of!(Record, remote_port),
        "data_segs_out" => std::mem::offset_of!(Record, data_segs_out),
        "srtt_us" => std::mem::offset_of!(Record, srtt_us),
        "exit_code" => std::mem::offset_of!(Record, exit_code),
        "task_flags" => std::mem::offset_of!(Record, task_flags),
        "verdicts" => std::mem::offset_of!(Record, verdicts),
        "active" => std::mem::offset_of!(Record, active),
        "reason" => std::mem::offset_of!(Record, reason),
        other => panic!("no offset for {other}"),
    }
}

fn put(bytes: &mut [u8; RECORD_BYTES], field: &str, value: &[u8]) {
    bytes[offset_of(field)..][..value.len()].copy_from_slice(value);
}

#[test]
fn what_the_hook_did_not_know_is_none_and_never_zero() {
    let event = decode(&record(0), &timebase()).unwrap();
    assert_eq!(event.kind, Kind::ResetSent);
    assert_eq!(
        (event.role, event.slot, event.state, event.state_before, event.reason),
        (None, None, None, None, None)
    );
    assert!(
        event.socket.is_none() && event.segment.is_none() && event.owner.is_none() && event.counted.is_none()
    );
    assert!(event.since_close.is_none() && event.baseline_ttl.is_none() && event.backlog.is_none());
}

#[test]
fn every_field_is_read_from_its_own_place() {
    let mut bytes = record(1);
    put(&mut bytes, "known", &(known::SOCKET | known::ROLE | known::REASON | known::SRTT).to_le_bytes());
    put(&mut bytes, "time_ns", &1_500_000_000u64.to_le_bytes());
    put(&mut bytes, "slot", &7u32.to_le_bytes());
    put(&mut bytes, "role", &[1]);
    put(&mut bytes, "remote_port", &8080u16.to_le_bytes());
    put(&mut bytes, "data_segs_out", &3u32.to_le_bytes());
    put(&mut bytes, "srtt_us", &800u32.to_le_bytes());
    put(&mut bytes, "reason", &14u32.to_le_bytes());
    put(&mut bytes, "verdicts", &[verdict::COUNTED_RESET | verdict::CARRIED_DATA]);
    put(&mut bytes, "active", &[1]);
    let event = decode(&bytes, &timebase()).unwrap();
    assert_eq!(event.time, "1970-01-01T00:00:01.5Z".parse().unwrap());
    assert_eq!((event.slot, event.role, event.remote.port()), (Some(7), Some(Role::Client), 8080));
    assert_eq!(event.reason, Some(Reason { code: 14, name: None }));
    assert_eq!((event.counted, event.carried_data, event.active), (Some(Counted::Reset), true, true));
    let socket = event.socket.unwrap();
    assert_eq!((socket.data_segments_out, socket.srtt_us, socket.bytes_in), (3, Some(100), None));
}

#[test]
fn v4_mapped_addresses_are_ipv4() {
    let mut bytes = record(1);
    put(&mut bytes, "remote_addr", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3]);
    assert_eq!(decode(&bytes, &timebase()).unwrap().remote.ip().to_string(), "10.1.2.3");
}

#[test]
fn a_hostile_task_name_is_text_without_control_characters() {
    let mut bytes = record(0);
    put(&mut bytes, "known", &known::OWNER.to_le_bytes());
    put(&mut bytes, "comm", b"\x1b[2J\xff<b>\"\0zzz\0\0");
    let owner = decode(&bytes, &timebase()).unwrap().owner.unwrap();
    assert_eq!(owner.comm, "\u{fffd}[2J\u{fffd}<b>\"");
}

#[test]
fn a_killed_owner_shows_its_signal_and_a_living_one_none() {
    let mut bytes = record(0);
    put(&mut bytes, "known", &known::OWNER.to_le_bytes());
    put(&mut bytes, "exit_code", &9u32.to_le_bytes());
    assert_eq!(decode(&bytes, &timebase()).unwrap().owner.unwrap().exit_signal, None);
    put(&mut bytes, "task_flags", &PF_EXITING.to_le_bytes());
    let owner = decode(&bytes, &timebase()).unwrap().owner.unwrap();
    assert!(owner.exiting);
    assert_eq!(owner.exit_signal, Some(9));
}

#[test]
fn the_oom_killer_is_named_only_where_its_signal_ended_the_owner() {
    let oom_killed = |flags: u32, exit_code: u32| {
        let mut bytes = record(0);
        put(&mut bytes, "known", &known::OWNER.to_le_bytes());
        put(&mut bytes, "task_flags", &flags.to_le_bytes());
        put(&mut bytes, "exit_code", &exit_code.to_le_bytes());
        decode(&bytes, &timebase()).unwrap().owner.unwrap().oom_killed
    };
    assert!(oom_killed(PF_EXITING, EXIT_OOM | 9));
    assert!(!oom_killed(PF_EXITING, 9), "kill -9");
    assert!(!oom_killed(PF_EXITING, EXIT_OOM | 15), "on its way out when memory ran short");
    assert!(!oom_killed(PF_EXITING, EXIT_OOM | 1 << 8), "likewise, by exit(1)");
    assert!(!oom_killed(0, EXIT_OOM | 9), "alive");
}

#[test]
fn foreign_records_are_refused_by_what_is_wrong_with_them() {
    assert_eq!(decode(&[], &timebase()), Err(DecodeError::Length { length: 0 }));
    assert_eq!(
        decode(&[0; RECORD_BYTES + 1], &timebase()),
        Err(DecodeError::Length { length: RECORD_BYTES + 1 })
    );
    assert_eq!(decode(&[0; RECORD_BYTES], &timebase()), Err(DecodeError::Version { version: 0 }));
    assert_eq!(decode(&record(200), &timebase()), Err(DecodeError::Kind { code: 200 }));
}

#[test]
fn no_byte_value_anywhere_makes_decoding_panic() {
    for place in 0..RECORD_BYTES {
        for value in [1, 0x7f, 0x80, 0xff] {
            let mut bytes = record(2);
            bytes[place] = value;
            drop(decode(&bytes, &timebase()));
            bytes[4..8].fill(0xff);
            drop(decode(&bytes, &timebase()));
        }
    }
}
