//! systemd's journal, by its native protocol: one datagram an entry, `FIELD=value` a line
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>). A value with a line break in it goes by its length instead.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::Entry;
use super::sink::json;
use crate::command::events::text::line;
use crate::terminal::Medium;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// What our entries have in common: `journalctl MESSAGE_ID=...`. Any number, as long as it is ours and stays the same.
const MESSAGE_ID: &str = "58f3deeadabd44a9bfa1491889e4b7a0";
/// A journal that takes nothing for so long is tried again later.
const TIMEOUT: Duration = Duration::from_secs(5);
/// `warning` and `info` of syslog (RFC 5424, table 2).
const WARNING: &str = "4";
const INFO: &str = "6";

/// A socket to it.
#[derive(Debug)]
pub struct Journal(UnixDatagram);

impl Journal {
    pub(super) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self(socket))
    }

    /// By its path each time: the journal may have been restarted.
    pub(super) fn send(&self, entry: &Entry) -> io::Result<()> {
        self.0.send_to(&datagram(entry)?, SOCKET).map(drop)
    }
}

fn datagram(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut fields = vec![
        ("SYSLOG_IDENTIFIER", "reset-monitor".to_owned()),
        ("MESSAGE_ID", MESSAGE_ID.to_owned()),
        ("PRIORITY", if matches!(entry, Entry::Missed(_)) { WARNING } else { INFO }.to_owned()),
        ("RESET_MONITOR_EVENT", String::from_utf8_lossy(&json(entry)?).into_owned()),
    ];
    match entry {
        Entry::Missed(missed) => {
            fields.push((
                "MESSAGE",
                format!("{} events are missing here: they could not be written", missed.missed),
            ));
        }
        Entry::Event(event) => {
            fields.push(("MESSAGE", line(event, Medium::PLAIN)));
            let peer = event.peer.as_ref();
            let remote = peer.map_or(&event.remote.addr, |peer| &peer.peer);
            fields.push(("RESET_MONITOR_PEER", remote.clone()));
            if let Some(peer) = peer {
                fields.push(("RESET_MONITOR_PORT", peer.port.to_string()));
                fields.push(("RESET_MONITOR_ROLE", peer.role.clone()));
            }
            fields.push(("RESET_MONITOR_KIND", event.kind.clone()));
            fields.push(("RESET_MONITOR_DIRECTION", event.direction.clone()));
            fields.extend(event.cause.clone().map(|cause| ("RESET_MONITOR_CAUSE", cause)));
        }
    }
    let mut bytes = Vec::new();
    for (name, value) in &fields {
        field(&mut bytes, name, value);
    }
    Ok(bytes)
}

fn field(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend((value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::LaggedView;

    #[test]
    fn a_value_with_a_line_break_goes_by_its_length_and_makes_no_field() {
        let mut bytes = Vec::new();
        field(&mut bytes, "A", "one\nPRIORITY=0");
        field(&mut bytes, "B", "two");
        assert_eq!(bytes, b"A\n\x0e\0\0\0\0\0\0\0one\nPRIORITY=0\nB=two\n");
    }

    #[test]
    fn a_gap_is_a_warning() {
        let bytes = datagram(&Entry::Missed(LaggedView { missed: 7 })).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.contains("\nPRIORITY=4\n") && text.contains("MESSAGE=7 events are missing here"),
            "{text}"
        );
    }
}
