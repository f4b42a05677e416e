//! Kernel differences, decided once: facts (I/O) -> plan (pure) -> load; then the truth, read from mapped memory.

pub mod btf;
pub mod layout;
pub mod places;

pub mod attach;
mod choose;
pub mod confinement;
#[cfg(feature = "debug-log")]
pub mod debug_log;
pub mod facts;
pub mod hook;
mod late_probe;
pub mod load;
mod perf_events;
pub mod plan;
pub mod privileges;
pub mod programs;

pub mod listening;
pub mod mapping;
pub mod namespaces;
pub mod owners;
pub mod proc_net;
pub mod sock_diag;
pub mod truth;
pub mod walker;
