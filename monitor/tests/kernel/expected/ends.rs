//! The two ends of a connection, and the events that can be expected of one.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use super::Expected;
use super::want::Want;
use crate::ledger::Role;
use crate::signals::Signal;

/// Both ends of a connection, as the users of the daemon see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) server: SocketAddr,
    pub(crate) client: SocketAddr,
}

impl Ends {
    /// The server's end.
    pub(crate) const fn server(self) -> End {
        End { role: Role::Server, local: self.server, remote: self.client }
    }

    /// The client's end.
    pub(crate) const fn client(self) -> End {
        End { role: Role::Client, local: self.client, remote: self.server }
    }

    /// The end with this role.
    pub(crate) const fn of(self, role: Role) -> End {
        match role {
            Role::Client => self.client(),
            Role::Server => self.server(),
        }
    }
}

/// One end of a connection, whose events can be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    role: Role,
    local: SocketAddr,
    remote: SocketAddr,
}

impl End {
    /// It sends a reset.
    pub(crate) fn sent(self, cause: &str) -> Expected {
        self.of_peer("reset_sent")
            .cause(cause)
            .with("app_saw", json!("nothing"))
            .with("other_end", Value::Null)
    }

    /// It receives a reset from an end on this host, which names the cause.
    pub(crate) fn received(self, cause: &str) -> Expected {
        let expected = self.of_peer("reset_received").cause(cause).of_segment(Signal::Received);
        let expected = expected.known("other_end").with("active", json!(false)).with("owner", Value::Null);
        expected.want("segment.sequence_distance", Want::seen(Signal::Received, json!(0)))
    }

    /// The same at the minisock that `close()` has left. Only functions tell of it.
    pub(crate) fn received_by_minisock(self, cause: &str) -> Expected {
        let expected = self.received(cause).of_segment(Signal::TimeWait);
        expected
            .in_sequence()
            .state("TIME_WAIT", "ESTABLISHED")
            .fin("local")
            .remembered("our_fin")
            .app_saw("nothing")
            .only_with(Signal::TimeWait)
    }

    /// It receives a reset though its connection has `ended` in this way already. Only functions tell of it.
    pub(crate) fn received_belated(self, ended: &str) -> Expected {
        let expected = self.received("other").any_cause().of_segment(Signal::Stray);
        expected
            .no_sequence()
            .no_socket()
            .remembered(ended)
            .uncounted()
            .app_saw("nothing")
            .without("other_end")
            .only_with(Signal::Stray)
    }

    /// It receives a reset, at a local port, that no connection it remembers is about. Only functions tell of it.
    pub(crate) fn stray_received(self, signal: Signal) -> Expected {
        let expected = self.of_port("stray_received").cause("other").possible().of_segment(signal);
        expected.without("segment.flags").only_with(signal)
    }

    /// A listener's accept queue is full for it, with its SYN or with its last ACK. Only functions tell of it.
    pub(crate) fn listen_overflow(self, signal: Signal) -> Expected {
        let (stage, flags) = if signal == Signal::OverflowSyn { ("syn", "S") } else { ("ack", ".") };
        let expected = self.of_port("listen_overflow").cause("listen_overflow").certain().listening();
        expected.segment(flags, 0).no_sequence().with("stage", json!(stage)).only_with(signal)
    }

    /// netfilter resets in its name, for a rule. Only functions tell of it.
    pub(crate) fn reject_sent(self) -> Expected {
        let expected = self.of_port("reject_sent").cause("netfilter_reject").certain();
        expected.no_socket().no_sequence().only_with(Signal::Reject)
    }

    /// Its SYN is refused.
    pub(crate) fn refused_received(self) -> Expected {
        self.of_peer("refused_received")
            .cause("refused")
            .certain()
            .with("app_saw", json!("ECONNREFUSED"))
            .with("state", json!("SYN_SENT"))
            .with("counted", Value::Null)
            .of_segment(Signal::Refusal)
            .want("segment.flags", Want::seen(Signal::Refusal, json!("R.")))
            .no_sequence()
            // That of the host's last SYN-ACK, if it ever sent one.
            .want("baseline_ttl", Want::OneOf(vec![Value::Null, json!(64)]))
            .with("idle", Value::Null)
    }

    /// It refuses a SYN, at a local port.
    pub(crate) fn refused_sent(self) -> Expected {
        self.of_port("refused_sent").cause("refused").certain().segment("S", 0).reason("NO_SOCKET")
    }

    /// It resets what belongs to no connection, at a local port.
    pub(crate) fn stray_sent(self, cause: &str) -> Expected {
        self.of_port("stray_sent").cause(cause)
    }

    /// It closes after quiet.
    pub(crate) fn closed_idle(self) -> Expected {
        self.idle_close("idle_close_sent").with("state", json!("FIN_WAIT1")).with("fin.by", json!("local"))
    }

    /// It sees the other end close after quiet.
    pub(crate) fn saw_idle_close(self) -> Expected {
        self.idle_close("idle_close_received")
            .with("state", json!("CLOSE_WAIT"))
            .with("fin.by", json!("peer"))
            .with("owner", Value::Null)
    }

    fn idle_close(self, kind: &'static str) -> Expected {
        self.of_peer(kind)
            .without("fin")
            .with("state_before", json!("ESTABLISHED"))
            .with("cause", Value::Null)
            .with("confidence", Value::Null)
            .with("evidence", json!([]))
            .with("app_saw", Value::Null)
            .with("other_end", Value::Null)
            .with("counted", Value::Null)
            .with("idle.basis", json!("before_fin"))
    }

    fn of_peer(self, kind: &'static str) -> Expected {
        let service = match self.role {
            Role::Client => self.remote.port(),
            Role::Server => self.local.port(),
        };
        let peer = json!({ "peer": self.remote.ip(), "port": service, "role": self.role.name() });
        // The kernel keeps the TTL of the handshake in accepted sockets only.
        let baseline = match self.role {
            Role::Server => Want::Is(json!(64)),
            Role::Client => Want::seen(Signal::SynAck, json!(64)),
        };
        self.any(kind)
            .with("peer", peer)
            .with("counted", json!("reset"))
            .want("baseline_ttl", baseline)
            .with("ended_by", Value::Null)
            .with("since_close_seconds", Value::Null)
    }

    fn of_port(self, kind: &'static str) -> Expected {
        let nothing = ["peer", "counted", "idle", "socket", "socket_inode", "other_end", "baseline_ttl"];
        let expected = self.any(kind).with("app_saw", json!("nothing"));
        nothing.into_iter().fold(expected, |expected, path| expected.with(path, Value::Null))
    }

    fn any(self, kind: &'static str) -> Expected {
        let Self { role: _, local, remote } = self;
        let end = |end: SocketAddr| json!({ "addr": end.ip(), "port": end.port() });
        let direction = if kind.ends_with("_sent") { "sent" } else { "received" };
        let family = if matches!(remote.ip(), IpAddr::V4(_)) { "ipv4" } else { "ipv6" };
        let expected = Expected {
            kind,
            local,
            remote,
            fields: BTreeMap::new(),
            needed: None,
            optional: false,
            truth: None,
        }
        .with("direction", json!(direction))
        .with("family", json!(family))
        .with("local", end(local))
        .with("remote", end(remote))
        .with("final", json!(true))
        .with("fin", Value::Null)
        .with("owner", Value::Null)
        .with("backlog", Value::Null);
        let facts = ["active", "orphan", "fileless", "destroyed"];
        facts.into_iter().fold(expected, |expected, fact| expected.with(fact, json!(false)))
    }
}
