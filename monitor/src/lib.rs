//! reset-monitor's daemon and command line.
//!
//! Modules in the order in which an event passes them; `ARCHITECTURE.md` walks one event through them.

// The event's way: bytes from the ring -> decode -> enrich -> classify -> settle -> aggregate -> publish.
pub mod aggregate;
pub mod bounded;
pub mod burst;
pub mod cause;
pub mod classify;
pub mod counts;
pub mod decode;
pub mod enrich;
pub mod event;
pub mod idle;
pub mod live;
pub mod past;
pub mod pipeline;
pub mod publish;
pub mod recording;
pub mod selection;
pub mod settle;
pub mod snapshot;
pub mod source;
pub mod story;
pub mod trend;
pub mod verdict;

// What it means.
pub mod advice;
pub mod alerts;
pub mod diagnosis;
pub mod summary;

// What readers get.
pub mod event_log;
pub mod http;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod metrics;
pub mod names;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod owners;
pub mod push;
pub mod residents;
pub mod view;

// Start-up: what was typed, what it means, what this kernel can do.
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod kernel;
pub mod lock;
pub mod program;
pub mod systemd;
pub mod terminal;
pub mod timeouts;
