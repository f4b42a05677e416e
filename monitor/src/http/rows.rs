//! `/api/v1/peers` as JSON, its rows written as they are: [`PeerView`](crate::view::PeerView) in the words of the answer's schema.
//!
//! By hand, because 10,000 peers have 10 ms: serde spells and checks a row's keys, which are most of it, anew for each peer, and made
//! such a list in 7 ms. A test compares both.

use std::fmt::Write as _;

use crate::cause::{CAUSES, Cause};
use crate::counts::PeerCounts;
use crate::event::role_name;
use crate::snapshot::PeerRow;
use crate::view::names::NameView;

/// Usual length of a row in bytes, to allocate the text once.
pub(super) const ROW_BYTES: usize = 320;

/// Appends a row. No value in it needs escaping but those of the name, which come from elsewhere.
pub(super) fn push(out: &mut String, row: &PeerRow, name: Option<&NameView>) {
    let PeerRow { label, netns, counts, causes, open } = row;
    out.push_str("{\"peer\":\"");
    label.scope.spell(out);
    out.push_str("\",\"name\":");
    match name.map(serde_json::to_string) {
        Some(Ok(name)) => out.push_str(&name),
        Some(Err(_)) | None => out.push_str("null"),
    }
    out.push_str(",\"port\":");
    number_or_null(out, label.port.map(u64::from));
    out.extend([",\"role\":\"", role_name(label.role), "\",\"netns\":"]);
    number_or_null(out, netns.map(u64::from));
    let PeerCounts {
        opened,
        closed,
        reset,
        aborted,
        exchanges,
        resets_sent,
        resets_received,
        refused_received,
        untold_sent: _,
        untold_received: _,
    } = *counts;
    for (key, count) in [
        (",\"opened\":", opened),
        (",\"closed\":", closed),
        (",\"reset\":", reset),
        (",\"aborted\":", aborted),
        (",\"exchanges\":", exchanges),
        (",\"resets_sent\":", resets_sent),
        (",\"resets_received\":", resets_received),
        (",\"refused_received\":", refused_received),
    ] {
        out.push_str(key);
        number(out, count);
    }
    out.push_str(",\"reset_ratio\":");
    match counts.reset_ratio() {
        // Writing to a string cannot fail.
        Some(ratio) => _ = write!(out, "{ratio:?}"),
        None => out.push_str("null"),
    }
    out.push_str(",\"causes_sent\":");
    by_cause(out, causes.as_ref().map(|causes| &causes.sent));
    out.push_str(",\"causes_received\":");
    by_cause(out, causes.as_ref().map(|causes| &causes.received));
    out.push_str(",\"open\":");
    number_or_null(out, open.map(|open| open.open));
    out.push_str(",\"idle\":");
    number_or_null(out, open.map(|open| open.idle));
    out.push('}');
}

/// Causes without any are left out.
fn by_cause(out: &mut String, counts: Option<&[u64; CAUSES]>) {
    out.push('{');
    let mut separator = "\"";
    let counts = Cause::ALL.iter().zip(counts.into_iter().flatten());
    for (cause, count) in counts.filter(|(_, count)| **count > 0) {
        out.extend([separator, cause.name(), "\":"]);
        number(out, *count);
        separator = ",\"";
    }
    out.push('}');
}

fn number(out: &mut String, value: u64) {
    out.push_str(itoa::Buffer::new().format(value));
}

fn number_or_null(out: &mut String, value: Option<u64>) {
    match value {
        Some(value) => number(out, value),
        None => out.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use monitor_common::peer::Role;
    use serde_json::Value;

    use super::{NameView, PeerCounts, PeerRow, push};
    use crate::cause::Cause;
    use crate::http::convert::peer_view;
    use crate::live::Open;
    use crate::snapshot::{CauseCounts, PeerLabel, Scope};

    #[test]
    fn a_row_is_what_its_view_says() {
        let all = PeerCounts {
            opened: u64::MAX,
            closed: 3,
            reset: 1,
            aborted: 2,
            exchanges: 4,
            resets_sent: 5,
            resets_received: 6,
            refused_received: 7,
            untold_sent: 8,
            untold_received: 9,
        };
        let mut causes = CauseCounts::default();
        for (place, count) in causes.sent.iter_mut().chain(&mut causes.received).zip(1..) {
            *place = count;
        }
        let mut one = CauseCounts::default();
        one.received[Cause::Middlebox as usize] = 1;
        let scopes = [
            Scope::Address("192.0.2.255".parse().unwrap()),
            Scope::Address("2001:db8::ffff".parse().unwrap()),
            Scope::Network("2001:db8::".parse().unwrap(), 64),
            Scope::Other,
            Scope::Retired,
        ];
        let mut walked = Open::default();
        (walked.open, walked.idle) = (10, 9);
        let rare = PeerCounts { reset: 1, closed: 10_000_000, ..PeerCounts::default() };
        for scope in scopes {
            for role in [Role::Client, Role::Server] {
                for (counts, causes, open, port) in [
                    (all, Some(causes), Some(walked), Some(65_535)),
                    (rare, Some(one), None, None),
                    (PeerCounts::default(), None, Some(Open::default()), Some(0)),
                ] {
                    let label = PeerLabel { scope, port, role };
                    let netns = port.map(|_| u32::MAX);
                    let row = PeerRow { label, netns, counts, causes: causes.map(Box::new), open };
                    // Nobody can make such a name in a cluster; whoever answers in its place can.
                    let name = port.map(|_| NameView {
                        namespace: "a\"\\\n\u{2028}".to_owned(),
                        service: Some("</script>".to_owned()),
                        pod: None,
                        workload: None,
                    });
                    let mut text = String::new();
                    push(&mut text, &row, name.as_ref());
                    let read: Value = serde_json::from_str(&text).unwrap();
                    assert_eq!(read, serde_json::to_value(peer_view(&row, name)).unwrap());
                }
            }
        }
    }
}
