//! What must hold for any input, one module for each thing that reset-monitor reads from others.
//!
//! Each module has a function `check` from bytes to nothing: it returns, or it panics and so tells libFuzzer that these
//! bytes are worth keeping. `src/bin` hands them over; `cargo xtask fuzz` runs them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a fuzz target says that something does not hold"
)]

pub mod btf;
pub mod config;
pub mod query;
pub mod record;

mod choices;
mod daemon;
