//! Answers as a kernel writes them, and as none should.

use super::*;

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
    let mut dump = Dump::default();
    take_in(bytes, SEQUENCE, &mut dump).map(|progress| (progress, dump))
}

#[test]
fn the_question_asks_for_listening_tcp_sockets_with_their_memory() {
    let bytes = question(AddressFamily::INET6, 5);
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
    }
}
