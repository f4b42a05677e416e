//! Answers as a kernel writes them, and as none should.

use monitor_common::peer::Role;

use super::listener::{MEMORY_DROPS, ONLY_V6};
use super::*;
use crate::kernel::sock_diag::{Dump, ListenSocket, MOST_SOCKETS};
use crate::live::Connection;
use crate::live::LastWord;

const SEQUENCE: u32 = 7;

/// A message with its header, padded.
fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(u32::try_from(HEADER_BYTES + payload.len()).unwrap().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(99_u32.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(padded(bytes.len()), 0);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(u16::try_from(ATTRIBUTE_BYTES + value.len()).unwrap().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(padded(bytes.len()), 0);
    bytes
}

/// `struct inet_diag_msg` of a listener.
fn listener(family: u8, address: &[u8], port: u16) -> Vec<u8> {
    let mut bytes = vec![0; SOCKET_BYTES];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &[family, LISTEN]);
    put(4, &port.to_be_bytes());
    put(8, address);
    put(40, &3_u32.to_ne_bytes());
    put(44, &0x1122_3344_u32.to_ne_bytes());
    put(48, &0x5566_7788_u32.to_ne_bytes());
    put(56, &2_u32.to_ne_bytes());
    put(60, &1_u32.to_ne_bytes());
    put(64, &33_u32.to_ne_bytes());
    put(68, &4711_u32.to_ne_bytes());
    bytes
}

fn memory(drops: u32) -> Vec<u8> {
    let mut words = [0_u32; 9];
    words[MEMORY_DROPS] = drops;
    attribute(MEMORY, &words.map(u32::to_ne_bytes).concat())
}

fn v4() -> Vec<u8> {
    [listener(2, &[10, 0, 0, 9], 80), attribute(8, &[0]), memory(4)].concat()
}

fn v6() -> Vec<u8> {
    [listener(10, &Ipv6Addr::UNSPECIFIED.octets(), 443), memory(u32::MAX), attribute(ONLY_V6, &[1])].concat()
}

fn parse(bytes: &[u8]) -> Result<(Progress, Dump), SockDiagError> {
    let (mut dump, mut answer) = (Dump::default(), Answer::to(SEQUENCE));
    let progress = answer.take_in(bytes, &mut |payload| {
        dump.add(listener::read(payload)?);
        Some(())
    })?;
    dump.interrupted = answer.interrupted();
    Ok((progress, dump))
}

#[test]
fn the_questions_ask_for_listeners_with_their_memory_and_for_open_connections_with_their_numbers() {
    let bytes = question(AddressFamily::INET, Wanted::Connections, 5);
    assert_eq!(bytes[16..20], [2, 6, 0x2, 0]);
    assert_eq!(bytes[20..24], 0x102_u32.to_ne_bytes());
    let bytes = question_of_all(Wanted::Connections, 5);
    assert_eq!(bytes.len(), 76);
    assert_eq!((bytes[0], bytes[4], bytes[19]), (76, 18, 0x2));
    assert_eq!(bytes[68..72], 0x102_u32.to_ne_bytes());
    let bytes = question(AddressFamily::INET6, Wanted::Listeners, 5);
    assert_eq!(bytes.len(), 72);
    assert_eq!(
        bytes[..16],
        message(BY_FAMILY, 0x301, 5, &[0; 56])[..12].iter().copied().chain([0; 4]).collect::<Vec<_>>()
    );
    assert_eq!(bytes[16..20], [10, 6, 0x40, 0]);
    assert_eq!(bytes[20..24], 0x400_u32.to_ne_bytes());
    assert!(bytes[24..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_socket_is_read_with_all_it_tells() {
    let bytes = [
        message(BY_FAMILY, 2, SEQUENCE, &v4()),
        message(BY_FAMILY, 2, SEQUENCE, &v6()),
        message(DONE, 2, SEQUENCE, &[0; 4]),
    ]
    .concat();
    let (progress, dump) = parse(&bytes).unwrap();
    assert_eq!(progress, Progress::Done);
    let first = ListenSocket {
        address: "10.0.0.9:80".parse().unwrap(),
        interface: Some(3),
        only_v6: None,
        backlog: 2,
        limit: 1,
        drops: Some(4),
        inode: 4711,
        uid: 33,
        cookie: 0x5566_7788_1122_3344,
    };
    let second = ListenSocket {
        address: "[::]:443".parse().unwrap(),
        only_v6: Some(true),
        drops: Some(u32::MAX),
        ..first
    };
    assert_eq!(dump, Dump { sockets: vec![first, second], beyond: 0, interrupted: false });
}

#[test]
fn mapped_addresses_are_ipv4_and_unbound_ones_have_no_interface() {
    let mut bytes = listener(10, &Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets(), 8080);
    bytes[40..44].fill(0);
    let (_, dump) = parse(&message(BY_FAMILY, 2, SEQUENCE, &bytes)).unwrap();
    assert_eq!(dump.sockets[0].address, "192.0.2.1:8080".parse().unwrap());
    assert_eq!((dump.sockets[0].interface, dump.sockets[0].drops), (None, None));
}

#[test]
fn sockets_that_do_not_listen_and_answers_to_other_questions_are_left_out() {
    let mut connected = v4();
    connected[1] = 1;
    let mut other_family = v4();
    other_family[0] = 1;
    let bytes = [
        message(BY_FAMILY, 2, SEQUENCE, &connected),
        message(BY_FAMILY, 2, SEQUENCE, &other_family),
        message(BY_FAMILY, 2, SEQUENCE - 1, &v4()),
        message(DONE, 2, SEQUENCE - 1, &[0; 4]),
        message(1, 0, SEQUENCE, &[]),
    ]
    .concat();
    assert_eq!(parse(&bytes), Ok((Progress::More, Dump::default())));
}

#[test]
fn an_interrupted_answer_is_noted() {
    let (_, dump) = parse(&message(DONE, INTERRUPTED, SEQUENCE, &[0; 4])).unwrap();
    assert!(dump.interrupted);
}

#[test]
fn a_refusal_is_an_error_wherever_it_comes() {
    for kind in [ERROR, DONE] {
        let bytes = message(kind, 0, SEQUENCE, &(-2_i32).to_ne_bytes());
        assert_eq!(parse(&bytes), Err(SockDiagError::Refused(Errno::NOENT)));
    }
    for worst in [i32::MIN, -70_000] {
        let refused = parse(&message(ERROR, 0, SEQUENCE, &worst.to_ne_bytes()));
        assert_eq!(refused, Err(SockDiagError::Malformed), "{worst}");
    }
}

#[test]
fn sockets_beyond_the_limit_are_counted() {
    let one = message(BY_FAMILY, 2, SEQUENCE, &v4());
    let (_, dump) = parse(&one.repeat(MOST_SOCKETS + 3)).unwrap();
    assert_eq!((dump.sockets.len(), dump.beyond), (MOST_SOCKETS, 3));
}

#[test]
fn an_answer_cut_short_anywhere_is_malformed_or_goes_on_and_never_panics() {
    let bytes = [message(BY_FAMILY, 2, SEQUENCE, &v4()), message(BY_FAMILY, 2, SEQUENCE, &v6())].concat();
    let whole = parse(&bytes).unwrap().1;
    for end in 0..bytes.len() {
        if let Ok((progress, dump)) = parse(&bytes[..end]) {
            assert_eq!(progress, Progress::More);
            assert!(dump.sockets.len() < 2 || dump == whole);
        }
    }
}

#[test]
fn no_bytes_whatever_they_say_make_it_panic_or_loop() {
    let good = [
        message(BY_FAMILY, 2, SEQUENCE, &v4()),
        message(BY_FAMILY, 2, SEQUENCE, &v6()),
        message(DONE, 2, SEQUENCE, &[0; 4]),
    ]
    .concat();
    // Every byte of a good answer replaced by each of some values that lengths and types go wrong with.
    for at in 0..good.len() {
        for value in [0, 1, 3, 4, 15, 16, 0x7f, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            drop(parse(&bad));
        }
    }
    let mut state = 0x9e37_79b9_u32;
    for length in 0..600 {
        let noise: Vec<u8> = (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state.to_ne_bytes()[0]
            })
            .collect();
        drop(parse(&noise));
        drop(connections(&noise));
        drop(connections(&[open(ESTABLISHED), noise.clone()].concat()));
        drop(connections(&[open(ESTABLISHED), attribute(INFO, &noise)].concat()));
    }
}

/// `struct inet_diag_msg` of a connection from 10.0.0.9:40000 to 10.0.0.7:443.
fn open(state: u8) -> Vec<u8> {
    let mut bytes = vec![0; SOCKET_BYTES];
    bytes[..2].copy_from_slice(&[2, state]);
    bytes[4..8].copy_from_slice(&[40_000_u16.to_be_bytes(), 443_u16.to_be_bytes()].concat());
    bytes[8..12].copy_from_slice(&[10, 0, 0, 9]);
    bytes[24..28].copy_from_slice(&[10, 0, 0, 7]);
    bytes
}

/// `struct tcp_info` as 6.x writes it: quiet for 5 s, 12 segments in and 10 out.
fn info(sent: u64, again: u64, acked: u64) -> Vec<u8> {
    let mut bytes = vec![0; 248];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(44, &9_000_u32.to_ne_bytes());
    put(52, &5_000_u32.to_ne_bytes());
    put(120, &acked.to_ne_bytes());
    put(152, &12_u32.to_ne_bytes());
    put(156, &10_u32.to_ne_bytes());
    put(200, &sent.to_ne_bytes());
    put(208, &again.to_ne_bytes());
    bytes
}

fn connections(payload: &[u8]) -> Result<Vec<Connection>, SockDiagError> {
    let mut found = Vec::new();
    for kind in [BY_FAMILY, TCP_OF_ALL_FAMILIES] {
        found.clear();
        Answer::to(SEQUENCE).take_in(&message(kind, 2, SEQUENCE, payload), &mut |payload| {
            found.extend(connection::read(payload)?);
            Some(())
        })?;
    }
    Ok(found)
}

fn one(state: u8, info: &[u8]) -> Option<Connection> {
    // The kernel puts other attributes before and after.
    let payload = [open(state), attribute(8, &[0]), attribute(INFO, info), attribute(21, &[0; 8])].concat();
    connections(&payload).unwrap().pop()
}

#[test]
fn an_open_connection_is_read_with_its_quiet_its_exchanges_and_who_called() {
    let client = Connection {
        local: "10.0.0.9:40000".parse().unwrap(),
        remote: "10.0.0.7:443".parse().unwrap(),
        established: true,
        quiet_ms: 5_000,
        exchanges: 10,
        last_word: LastWord::Peer,
        caller: Some(Role::Client),
    };
    assert_eq!(one(ESTABLISHED, &info(1_100, 100, 1_001)), Some(client));
    let server = Connection { established: false, caller: Some(Role::Server), ..client };
    assert_eq!(one(CLOSE_WAIT, &info(1_100, 100, 1_000)), Some(server));
    for state in [LISTEN, 4, 6] {
        assert_eq!(one(state, &info(0, 0, 0)), None, "state {state} is not open");
    }
}

#[test]
fn who_called_is_not_guessed() {
    let caller = |info: &[u8]| one(ESTABLISHED, info).unwrap().caller;
    // Something is on its way, or waits to be sent.
    for at in [24, 144] {
        let mut info = info(1_000, 0, 1_001);
        info[at] = 1;
        assert_eq!(caller(&info), None);
    }
    // Numbers that do not come from one connection.
    for (sent, again, acked) in [(1_000, 0, 1_002), (1_000, 0, 999), (0, 1, 0), (u64::MAX, 0, 0)] {
        assert_eq!(caller(&info(sent, again, acked)), None, "{sent} {again} {acked}");
    }
}

#[test]
fn what_an_older_kernels_numbers_do_not_have_is_unknown() {
    let whole = info(1_100, 100, 1_001);
    for length in 0..whole.len() {
        let connection = one(ESTABLISHED, &whole[..length]);
        assert_eq!(connection.is_some(), length >= 56, "without times there is nothing to tell: {length}");
        let Some(connection) = connection else { continue };
        assert_eq!(connection.quiet_ms, 5_000);
        assert_eq!(connection.exchanges, if length >= 160 { 10 } else { 0 });
        assert_eq!(connection.caller, (length >= 216).then_some(Role::Client));
    }
}

#[test]
fn a_connection_cut_short_is_malformed_and_never_panics() {
    let payload = [open(ESTABLISHED), attribute(INFO, &info(1, 0, 1))].concat();
    for end in 0..payload.len() {
        let cut = connections(&payload[..end]);
        assert!(cut == Err(SockDiagError::Malformed) || cut == Ok(vec![]), "{end}: {cut:?}");
    }
}
