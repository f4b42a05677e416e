//! What became of events on their way to the event log. Nothing where there is none.

use std::fmt;

use super::family::{Counter, Output};
use crate::event_log::Account;

pub(super) fn encode(out: &mut Output<'_>, account: Option<&Account>) -> fmt::Result {
    let Some(account) = account else { return Ok(()) };
    for (name, help, count) in [
        ("event_log_events_written", "Events written to the event log.", account.written()),
        (
            "event_log_events_lost",
            "Events of any kind that were forgotten before they could be written to the event log.",
            account.lost(),
        ),
        (
            "event_log_failures",
            "Writes to the event log that failed; they are tried again, and lose nothing while 10,000 events are kept.",
            account.failures(),
        ),
    ] {
        Counter::single(out, name, help, count)?;
    }
    Ok(())
}
