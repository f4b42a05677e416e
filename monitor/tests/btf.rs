//! Kernel types as real kernels describe them: every offset, value and parameter count that we rely on.
//!
//! `fixtures/btf/expected.txt` was measured with an unrelated reader; its README tells how.
#![expect(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "the whole file is a test module, its helpers included"
)]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;

use monitor::config::DEFAULT_SIZES;
use monitor::kernel::btf::Btf;
use monitor::kernel::facts::{ConntrackFacts, Facts};
use monitor::kernel::layout::{LayoutError, layout_bytes, resolve};
use monitor::kernel::plan::{Backend, plan};
use monitor_common::layout::{FIELD_PATHS, Field, Need};
use monitor_common::names::function::{self, Pair};
use monitor_common::places::{Places, SKBS, TCPS, ZEROS};

const EXPECTED: &str = include_str!("fixtures/btf/expected.txt");

/// Extracts by name of the kernel, which is also the column in the table.
const KERNELS: &[(&str, &[u8])] = &[
    ("5.10", include_bytes!("fixtures/btf/5.10.btf")),
    ("6.1", include_bytes!("fixtures/btf/6.1.btf")),
    ("6.12", include_bytes!("fixtures/btf/6.12.btf")),
    ("6.18", include_bytes!("fixtures/btf/6.18.btf")),
    ("6.18-live", include_bytes!("fixtures/btf/6.18-live.btf")),
    ("7.2", include_bytes!("fixtures/btf/7.2.btf")),
    ("arm64-5.10", include_bytes!("fixtures/btf/arm64-5.10.btf")),
    ("arm64-6.12", include_bytes!("fixtures/btf/arm64-6.12.btf")),
    ("arm64-7.2", include_bytes!("fixtures/btf/arm64-7.2.btf")),
];

#[test]
fn every_member_of_the_table_lies_where_the_table_says() {
    let mut checked = 0;
    for (kernel, btf) in kernels() {
        for (path, cell) in column(kernel) {
            let (outer, chain) = path.split_once('.').unwrap();
            assert_eq!(btf.field(outer, chain).unwrap(), field(cell), "{path} on {kernel}");
            checked += 1;
        }
    }
    assert!(checked > 1000, "the table was read: {checked} cells");
}

#[test]
fn the_table_has_every_field_that_the_kernel_side_reads() {
    let rows: Vec<_> = column("5.10").map(|(path, _)| path).collect();
    for field in FIELD_PATHS {
        let path = format!("{}.{}", field.outer, field.path);
        assert!(rows.contains(&path.as_str()), "{path}: add a row, then extract anew as the README tells");
    }
}

#[test]
fn only_what_newer_kernels_have_is_missing_from_supported_kernels() {
    for (kernel, btf) in kernels() {
        let resolved = resolve(&btf).unwrap();
        let missing: Vec<_> = resolved.missing.iter().map(ToString::to_string).collect();
        let expected: &[_] = if kernel.ends_with("5.10") {
            // One form of the pointer to the cgroup for the other; and no Multipath TCP.
            &["sock.sk_cgrp_data.cgroup", "tcp_sock.is_mptcp"]
        } else {
            &["sock.sk_cgrp_data.val"]
        };
        assert_eq!(missing, expected, "{kernel}");
        assert_eq!(resolved.layout.sk_cgroup.is_present(), !kernel.ends_with("5.10"), "{kernel}");
    }
}

#[test]
fn what_is_read_together_covers_every_field_on_every_kernel() {
    for (kernel, btf) in kernels() {
        let Places { common, inet, tcp, skb } = resolve(&btf).unwrap().places;
        assert!(common.at.iter().chain(&inet.at).all(|&place| place >= ZEROS as u64), "{kernel}");
        for field in 0..TCPS {
            assert_eq!(tcp.iter().filter(|part| part.at[field] != 0).count(), 1, "{kernel}: {field}");
        }
        for field in 0..SKBS {
            assert_eq!(skb.iter().filter(|part| part.at[field] != 0).count(), 1, "{kernel}: {field}");
        }
        assert!(tcp.iter().filter(|part| part.bytes > 0).count() <= 3, "{kernel}: {tcp:?}");
    }
}

#[test]
fn a_kernel_without_our_fields_is_refused_with_all_required_ones_by_name() {
    let nothing = with_type_length(KERNELS[0].1, 0);
    let error = resolve(&Btf::parse(&nothing).unwrap()).unwrap_err();
    let required: Vec<_> = FIELD_PATHS.iter().filter(|path| path.need == Need::Required).collect();
    let LayoutError::Missing(missing) = &error else { panic!("{error}") };
    assert_eq!(missing.len(), required.len());
    for field in required {
        assert!(error.to_string().contains(&format!("{}.{}", field.outer, field.path)), "{error}");
    }
}

#[test]
fn the_layout_is_injected_in_the_order_of_its_fields() {
    let (_, btf) = kernels().next().unwrap();
    let layout = resolve(&btf).unwrap().layout;
    let bytes = layout_bytes(&layout);
    assert_eq!(bytes.len(), size_of_val(&layout));
    for (field, bytes) in layout.fields().iter().zip(bytes.chunks(size_of::<Field>())) {
        assert_eq!(bytes, field.to_bytes());
    }
}

#[test]
fn a_bitfield_is_loaded_shifted_and_masked_to_its_value() {
    let (_, btf) = kernels().next().unwrap();
    let hops = btf.field("ipv6_pinfo", "mcast_hops").unwrap().unwrap();
    // Nine bits from bit 7 of byte 66 on: 64 = 0b0_0100_0000, with every neighbour set.
    let mut ipv6_pinfo = [0xff_u8; 100];
    ipv6_pinfo[66] = 0b0111_1111;
    ipv6_pinfo[67] = 0b0010_0000;
    assert_eq!(load(&ipv6_pinfo, hops), 64);
    // The kernel's -1, "not set", is all nine bits.
    assert_eq!(load(&[0xff; 100], hops), 0x1ff);
}

#[test]
fn the_drop_reason_for_a_reset_has_moved_twice() {
    let reset = "SKB_DROP_REASON_TCP_RESET";
    check(|btf| btf.enum_value("skb_drop_reason", reset), &[None, Some(28), Some(39), Some(45), Some(45)]);
}

#[test]
fn reasons_for_sending_resets_exist_from_6_12_on() {
    let (not_yet, keepalive) = (None, Some(15));
    let reason = "SK_RST_REASON_TCP_KEEPALIVE_TIMEOUT";
    let expected = [not_yet, not_yet, keepalive, keepalive, keepalive];
    check(|btf| btf.enum_value("sk_rst_reason", reason), &expected);
    check(|btf| btf.enum_values("sk_rst_reason").is_some(), &[false, false, true, true, true]);
}

#[test]
fn an_enumeration_comes_in_the_order_of_its_declaration() {
    let btf = Btf::parse(KERNELS[2].1).unwrap();
    let reasons = btf.enum_values("sk_rst_reason").unwrap();
    let first = [("NOT_SPECIFIED", 0), ("NO_SOCKET", 1), ("TCP_INVALID_ACK_SEQUENCE", 2)];
    for ((name, value), (expected, number)) in reasons.iter().zip(first) {
        assert_eq!((name.as_str(), *value), (format!("SK_RST_REASON_{expected}").as_str(), number));
    }
}

#[test]
fn tcp_send_reset_hands_over_its_reason_from_6_12_on() {
    check(|btf| btf.tracepoint_arguments("tcp_send_reset"), &[Some(2), Some(2), Some(3), Some(3), Some(3)]);
    check(|btf| btf.tracepoint_arguments("inet_sock_set_state"), &[Some(3); 5]);
    check(|btf| btf.tracepoint_arguments("tcp_no_such_tracepoint"), &[None; 5]);
}

#[test]
fn tcp_reset_gets_the_segment_after_5_10() {
    check(|btf| btf.function_parameters("tcp_reset"), &[Some(1), Some(2), Some(2), Some(2), Some(2)]);
    check(|btf| btf.function_parameters("tcp_no_such_function"), &[None; 5]);
}

/// A signal, and for each kernel of [`KERNELS`] the best way to serve it.
type Row = (&'static str, [&'static str; 9]);

#[test]
fn every_kernel_is_planned_for_by_what_its_types_promise() {
    const SEND: &str = "raw_tracepoint:tcp_send_reset";
    const ANSWERS: &str = "raw_tracepoint:tcp_send_reset+fentry:tcp_v4_send_reset,tcp_v6_send_reset";
    // BTF of arm64 5.10 lacks functions that are static.
    const PROBED: &str = "raw_tracepoint:tcp_send_reset+kprobe:tcp_v4_send_reset,tcp_v6_send_reset";
    const NOTED: &str = "raw_tracepoint:tcp_receive_reset+fentry:tcp_validate_incoming";
    const RESET: &str = "raw_tracepoint:tcp_receive_reset+fentry:tcp_reset";
    // Built in on one, modules on the others.
    const REJECT: &str = "kprobe:nf_send_reset,nf_send_reset6";
    let rows: [Row; 5] = [
        ("connections", ["raw_tracepoint:inet_sock_set_state"; 9]),
        ("reset_sent_passive", [ANSWERS, ANSWERS, SEND, SEND, SEND, SEND, PROBED, SEND, SEND]),
        (
            "reset_received",
            [
                NOTED,
                RESET,
                RESET,
                RESET,
                RESET,
                RESET,
                "raw_tracepoint:tcp_receive_reset+kprobe:tcp_validate_incoming",
                RESET,
                RESET,
            ],
        ),
        (
            "reset_sent_netfilter",
            [
                REJECT,
                REJECT,
                REJECT,
                REJECT,
                "fentry:nf_send_reset,nf_send_reset6",
                REJECT,
                REJECT,
                REJECT,
                REJECT,
            ],
        ),
        ("accept_overflow_syn", ["fentry:tcp_conn_request"; 9]),
    ];
    for (at, (kernel, btf)) in kernels().enumerate() {
        let plan = plan(&facts(&btf), &DEFAULT_SIZES, Backend::Auto).unwrap();
        for (signal, labels) in rows {
            let ways = &plan.signals.iter().find(|plan| plan.signal == signal).unwrap().ways;
            assert_eq!(ways[0].label, labels[at], "{signal} on {kernel}");
        }
    }
}

/// What can be known of a kernel from its types, on a host where everything is allowed and no module is loaded.
fn facts(btf: &Btf<'_>) -> Facts {
    let parameters = |pair: &Pair| Some((pair.function, btf.function_parameters(pair.function)?));
    Facts {
        release: String::new(),
        cpus: 2,
        missing_capabilities: vec![],
        send_reset_arguments: btf.tracepoint_arguments("tcp_send_reset"),
        has_receive_reset: btf.tracepoint_arguments("tcp_receive_reset").is_some(),
        has_set_state: btf.tracepoint_arguments("inet_sock_set_state").is_some(),
        functions: function::ALL.iter().filter_map(parameters).collect(),
        modules: BTreeSet::new(),
        hz: 250,
        reset_reasons: vec![],
        counts_overflows: true,
        sock_diag_refusal: None,
        conntrack: ConntrackFacts::Absent,
    }
}

#[test]
fn functions_keep_their_numbers_when_nothing_else_is_left() {
    let names = function::ALL.map(|pair| pair.function);
    for (kernel, btf) in kernels() {
        let bytes = btf.only_functions(&names);
        aya::Btf::parse(&bytes, aya::Endianness::default()).unwrap();
        let ours = Btf::parse(&bytes).unwrap();
        for name in names {
            let known = btf.function_number(name);
            assert_eq!(ours.function_number(name), known, "{name} on {kernel}");
        }
        assert!(btf.function_number("tcp_reset").is_some());
    }
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for (kernel, bytes) in KERNELS {
        for length in 0..bytes.len() {
            assert!(Btf::parse(&bytes[..length]).is_err(), "{kernel} at {length} bytes");
        }
    }
}

#[test]
fn types_cut_off_anywhere_are_refused_or_leave_fields_out() {
    let (_, bytes) = KERNELS[0];
    let types = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
    for length in 0..types {
        ask_everything(&with_type_length(bytes, length));
    }
}

#[test]
fn one_wrong_byte_never_panics() {
    let mut bytes = KERNELS[0].1.to_vec();
    for (at, flip) in (0..bytes.len()).zip([0x01, 0x80, 0xff].into_iter().cycle()) {
        bytes[at] ^= flip;
        ask_everything(&bytes);
        bytes[at] ^= flip;
    }
}

#[test]
fn the_running_kernel_has_every_field_we_need() {
    // Without BTF there is nothing to resolve, and the daemon says so at start.
    let Ok(bytes) = fs::read("/sys/kernel/btf/vmlinux") else { return };
    let btf = Btf::parse(&bytes).unwrap();
    resolve(&btf).unwrap();
    assert!(btf.tracepoint_arguments("tcp_send_reset").is_some());
}

fn kernels() -> impl Iterator<Item = (&'static str, Btf<'static>)> {
    KERNELS.iter().map(|&(kernel, bytes)| (kernel, Btf::parse(bytes).unwrap()))
}

/// Asks one thing of 5.10, 6.1, 6.12, 6.18 and 7.2, the last two of which stand for their variants too.
fn check<Answer: PartialEq + Debug>(ask: impl Fn(&Btf<'_>) -> Answer, expected: &[Answer; 5]) {
    for (kernel, btf) in kernels() {
        let series = ["5.10", "6.1", "6.12", "6.18", "7.2"];
        let release = kernel.trim_start_matches("arm64-").trim_end_matches("-live");
        let at = series.iter().position(|&series| series == release).unwrap();
        assert_eq!(ask(&btf), expected[at], "{kernel}");
    }
}

/// One kernel's column of the table: paths and cells.
fn column(kernel: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut lines = EXPECTED.lines();
    let column = lines.next().unwrap().split_whitespace().position(|head| head == kernel).unwrap();
    lines.map(move |line| {
        let cells: Vec<_> = line.split_whitespace().collect();
        (cells[0], cells[column])
    })
}

/// A cell of the table: `-`, `offset/size`, or `offset:bits b@shift/size` without the space.
fn field(cell: &str) -> Option<Field> {
    let (place, size) = cell.split_once('/')?;
    let (offset, bits) = place.split_once(':').unwrap_or((place, "0b@0"));
    let (bits, shift) = bits.split_once("b@").unwrap();
    Some(Field {
        offset: offset.parse().unwrap(),
        size: size.parse().unwrap(),
        shift: shift.parse().unwrap(),
        bits: bits.parse().unwrap(),
        reserved: 0,
    })
}

/// What the kernel side does with a field.
fn load(object: &[u8], field: Field) -> u64 {
    let bytes = &object[usize::from(field.offset)..][..usize::from(field.size)];
    let word = bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    let mask = if field.bits == 0 { u64::MAX } else { (1 << field.bits) - 1 };
    word >> field.shift & mask
}

/// The same file with another length of the type section in its header.
fn with_type_length(bytes: &[u8], length: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[12..16].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Whatever the bytes are: no panic, and no field that the kernel side could not load.
fn ask_everything(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes) else { return };
    for path in FIELD_PATHS {
        if let Ok(Some(field)) = btf.field(path.outer, path.path) {
            assert!(
                field.is_present() && u16::from(field.shift + field.bits) <= field.size.saturating_mul(8)
            );
        }
    }
    for enumeration in ["skb_drop_reason", "sk_rst_reason", "sock_flags"] {
        btf.enum_values(enumeration);
    }
    btf.function_parameters("tcp_reset");
    btf.tracepoint_arguments("tcp_send_reset");
}
