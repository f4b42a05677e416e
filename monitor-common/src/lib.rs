//! The ABI between the kernel programs (`monitor-ebpf`) and the daemon (`monitor`), and where in their arrays programs put things.
//!
//! Everything here is `repr(C)` and made of integers and byte arrays without padding, so every bit pattern is
//! a valid value, and both sides may read each other's bytes without `unsafe`. Sizes are asserted at compile time.
//! Modules in reading order: what is counted, for whom, what is told, and how the two sides are set up.
#![no_std]

pub mod counters;
pub mod peer;
pub mod record;

pub mod layout;
pub mod names;
pub mod places;
pub mod settings;
pub mod spread;
