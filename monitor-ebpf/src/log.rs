//! Debug lines, one per event, at the thin entry of each signal. They exist only with the feature `debug-log`: without it
//! the macro is nothing, and its arguments are not even looked at.
//!
//! The lines go through a ring of their own (aya-log's `AYA_LOGS`), so they take no room from stories. The daemon sets the
//! level before loading: unless it shows debug messages, the verifier finds the lines unreachable and takes them out.

/// Says one thing to whoever debugs the kernel side: the context, then a format string and its arguments as in aya-log.
#[cfg(feature = "debug-log")]
macro_rules! debug_line {
    ($ctx:expr, $($line:tt)+) => { aya_log_ebpf::debug!($ctx, $($line)+) };
}

#[cfg(not(feature = "debug-log"))]
macro_rules! debug_line {
    ($($nothing:tt)*) => {};
}

pub(crate) use debug_line;
