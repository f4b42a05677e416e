//! reset-monitor's kernel programs: one file per signal, with thin entry points around one function each.
//!
//! Everything a count needs is decided here, so that a count never waits for the daemon; the story of an event
//! goes to the ring and may be lost. Nothing here runs per packet. All reads of kernel memory go through
//! `fields.rs`, with offsets that the daemon took from the running kernel's BTF.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(
    unsafe_code,
    reason = "kernel programs: maps, helpers and kernel memory have no safe form; each block says why it holds"
)]
#![expect(
    internal_features,
    reason = "atomic adds have no stable form on the BPF target (core has no 64-bit atomics there)"
)]

mod entry;
mod fields;
mod log;
mod maps;

mod segment;
mod socket;
mod tcp;

mod baseline;
mod judged;
mod last_close;
mod memory;
mod peer_fin;
mod peers;
mod relief;
mod story;

mod conntrack;
mod idle_close;
mod minisock;
mod overflow;
mod receive_reset;
mod reject;
mod send_reset;
mod set_state;
mod unmatched;

/// Programs cannot unwind, and have no code that can panic: the verifier would refuse it.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The licence the kernel checks before it lets a program call GPL-only helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
