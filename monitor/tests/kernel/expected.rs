//! The event a scenario expects, as the JSON of the API must show it.
//!
//! What is always compared is set by the constructors: whose event it is, the verdict's cause, and the facts that hold unless
//! said otherwise. The rest is compared where a scenario states it.

mod ends;
mod want;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;
use serde_json::{Value, json};
use socket2::Socket;

use crate::clock::Bounds;
use crate::owner::Owner;
use crate::signals::{Sight, Signal};

use self::want::Want;

pub(crate) use self::ends::{End, Ends};

/// An event, as far as it is stated.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    kind: &'static str,
    local: SocketAddr,
    remote: SocketAddr,
    /// By the path in the JSON.
    fields: BTreeMap<&'static str, Want>,
    /// What must be seen for it to be told at all.
    needed: Option<Signal>,
    /// It may not happen.
    optional: bool,
    /// The cause that is true, if it is not the one to be named.
    truth: Option<&'static str>,
}

impl Expected {
    /// Another cause than usual.
    pub(crate) fn of_cause(self, cause: &str) -> Self {
        self.cause(cause)
    }

    /// Of two causes of which the machine's pace decides.
    pub(crate) fn any_cause(self) -> Self {
        self.known("cause").without("confidence")
    }

    /// What is true, whatever is to be named: what this end cannot know.
    pub(crate) const fn truly(mut self, cause: &'static str) -> Self {
        self.truth = Some(cause);
        self
    }

    /// The cause that is true; `None` where that is a matter of pace, or the reset ended nothing.
    pub(crate) fn truth(&self) -> Option<&str> {
        self.truth.or_else(|| self.expected_cause())
    }

    /// Among the events with the same key, order decides which is which.
    pub(crate) fn key(&self) -> (String, String, String) {
        (self.kind.to_owned(), self.local.to_string(), self.remote.to_string())
    }

    /// The expected cause.
    pub(crate) fn expected_cause(&self) -> Option<&str> {
        match self.fields.get("cause") {
            Some(Want::Is(Value::String(cause))) => Some(cause),
            Some(
                Want::Is(_)
                | Want::OneOf(_)
                | Want::Between(..)
                | Want::Known
                | Want::Seen(..)
                | Want::Reason(_)
                | Want::Reasoned { .. }
                | Want::Sighted { .. },
            )
            | None => None,
        }
    }

    /// What of an event is not as stated. `is_same_cause` decides about another cause than the stated one.
    pub(crate) fn differences(
        &self,
        event: &Value,
        sight: &Sight,
        is_same_cause: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for (path, want) in &self.fields {
            let found = at(event, path);
            let excused = *path == "cause" && found.as_str().is_some_and(&is_same_cause);
            if !want.is_met_by(found, sight)? && !excused {
                wrong.push(format!("{path}: expected {want:?}, found {found}"));
            }
        }
        Ok(wrong)
    }

    /// Whether a daemon with this sight tells of it at all.
    pub(crate) fn is_told(&self, sight: &Sight) -> bool {
        self.needed.is_none_or(|signal| sight.has(signal))
    }

    /// Whether it may not happen at all.
    pub(crate) const fn is_optional(&self) -> bool {
        self.optional
    }

    /// It depends on the moment whether it happens. Expected after those with the same key that do.
    pub(crate) const fn perhaps(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Nothing is told of it unless this is seen.
    const fn only_with(mut self, signal: Signal) -> Self {
        self.needed = Some(signal);
        self
    }

    fn want(mut self, path: &'static str, want: Want) -> Self {
        self.fields.insert(path, want);
        self
    }

    fn with(self, path: &'static str, value: Value) -> Self {
        self.want(path, Want::Is(value))
    }

    fn known(self, path: &'static str) -> Self {
        self.want(path, Want::Known)
    }

    /// The received reset itself, where the hook of the signal has it. Which of the two flags it is, the sender's event tells.
    fn of_segment(self, signal: Signal) -> Self {
        let flags = Want::OneOf(vec![json!("R"), json!("R.")]);
        self.want("segment.flags", Want::Seen(signal, Box::new(flags)))
            .want("segment.bytes", Want::seen(signal, json!(0)))
            .want("segment.ttl", Want::seen(signal, json!(64)))
            .want("segment.ifindex", Want::Seen(signal, Box::new(Want::Known)))
    }

    /// The received reset itself came with this TTL.
    pub(crate) fn ttl(self, ttl: u8) -> Self {
        self.instead("segment.ttl", &json!(ttl))
    }

    /// What comes from the other end has this TTL.
    pub(crate) fn at_distance(self, ttl: u8) -> Self {
        self.ttl(ttl).instead("baseline_ttl", &json!(ttl))
    }

    /// Another value, if any is wanted.
    fn instead(mut self, path: &'static str, value: &Value) -> Self {
        if let Some(want) = self.fields.get_mut(path) {
            want.become_value(value);
        }
        self
    }

    fn without(mut self, path: &'static str) -> Self {
        self.fields.remove(path);
        self
    }

    fn cause(self, cause: &str) -> Self {
        self.with("cause", json!(cause))
    }

    /// Nothing else fits.
    pub(crate) fn certain(self) -> Self {
        self.confidence("certain")
    }

    /// Nothing else fits better.
    pub(crate) fn likely(self) -> Self {
        self.confidence("likely")
    }

    /// The kernel's own reason says it; without reasons it is no more than `otherwise`.
    pub(crate) fn certain_by_reason(self, otherwise: &str) -> Self {
        self.want("confidence", Want::Reasoned { with: json!("certain"), without: json!(otherwise) })
    }

    /// Likely where the reset's TTL is seen, and else as possible as that a device on the way built it.
    pub(crate) fn likely_by_ttl(self) -> Self {
        let (with, without) = (json!("likely"), json!("possible"));
        self.want("confidence", Want::Sighted { signal: Signal::Received, with, without })
    }

    /// A device on the way built it, in the peer's name: seen where the reset's TTL is.
    pub(crate) fn built_on_the_way(self) -> Self {
        let (with, without) = (json!("middlebox"), json!("peer_abort"));
        let named = Want::Sighted { signal: Signal::Received, with, without };
        self.want("cause", named).likely_by_ttl().truly("middlebox")
    }

    /// It fits, as others may.
    pub(crate) fn possible(self) -> Self {
        self.confidence("possible")
    }

    fn confidence(self, confidence: &str) -> Self {
        self.with("confidence", json!(confidence))
    }

    /// Counted as aborted instead of reset.
    pub(crate) fn aborted(self) -> Self {
        self.with("counted", json!("aborted"))
    }

    /// The connection had been counted before.
    pub(crate) fn uncounted(self) -> Self {
        self.with("counted", Value::Null)
    }

    /// Of our own accord: the socket was in `before` and is closed now.
    pub(crate) fn active(self, before: &str) -> Self {
        self.with("active", json!(true)).state("CLOSE", before).with("segment", Value::Null)
    }

    /// The socket's state, and the one before.
    pub(crate) fn state(self, state: &str, before: &str) -> Self {
        self.with("state", json!(state)).with("state_before", json!(before))
    }

    /// Whichever socket met it.
    pub(crate) fn any_state(self) -> Self {
        self.without("state")
    }

    /// A connection that is not one yet.
    pub(crate) fn in_handshake(self) -> Self {
        self.with("state", json!("NEW_SYN_RECV")).with("state_before", Value::Null)
    }

    /// A listener.
    pub(crate) fn listening(self) -> Self {
        self.with("state", json!("LISTEN")).with("state_before", Value::Null)
    }

    /// A socket that waits for the answer to its SYN.
    pub(crate) fn connecting(self) -> Self {
        self.with("state", json!("SYN_SENT")).with("state_before", Value::Null)
    }

    /// No socket was left.
    pub(crate) fn no_socket(self) -> Self {
        self.with("state", Value::Null)
    }

    /// Its application had closed it.
    pub(crate) fn orphan(self) -> Self {
        self.with("orphan", json!(true)).fileless()
    }

    /// It has no file.
    pub(crate) fn fileless(self) -> Self {
        self.with("fileless", json!(true)).with("socket_inode", Value::Null)
    }

    /// Whether it has a file depends on the kernel.
    pub(crate) fn any_file(self) -> Self {
        self.without("fileless")
    }

    /// By `SOCK_DESTROY`.
    pub(crate) fn destroyed(self) -> Self {
        self.with("destroyed", json!(true))
    }

    /// From the memory of a connection that `ended` in this way.
    pub(crate) fn remembered(self, ended: &str) -> Self {
        self.with("ended_by", json!(ended))
            .known("since_close_seconds")
            .with("baseline_ttl", Value::Null)
            .with("socket_inode", Value::Null)
    }

    /// The first FIN was this side's: `local` or `peer`.
    pub(crate) fn fin(self, by: &str) -> Self {
        self.without("fin").with("fin.by", json!(by)).known("fin.seconds_ago")
    }

    /// The kernel's own reason.
    pub(crate) fn reason(self, name: &'static str) -> Self {
        self.want("reason.name", Want::Reason(name))
    }

    /// What the application on this end saw, by the trial's own sockets.
    pub(crate) fn app_saw(self, saw: &str) -> Self {
        self.with("app_saw", json!(saw))
    }

    /// It depends on what is not known.
    pub(crate) fn app_saw_unknown(self) -> Self {
        self.with("app_saw", Value::Null)
    }

    /// The sender is seen on this host.
    pub(crate) fn joined(self) -> Self {
        self.known("other_end")
    }

    /// The sender is not seen on this host.
    pub(crate) fn alone(self) -> Self {
        self.with("other_end", Value::Null)
    }

    /// Who closed.
    pub(crate) fn owner(self, owner: &Owner) -> Self {
        self.with("owner", owner.json())
    }

    /// One of so many connections that ended when a process died.
    pub(crate) fn in_burst(self, connections: usize) -> Self {
        self.with("burst.connections", json!(connections))
            .with("burst.restart", json!(true))
            .known("burst.first")
            .known("burst.last")
    }

    /// Nobody is known to have closed.
    pub(crate) fn no_owner(self) -> Self {
        self.with("owner", Value::Null)
    }

    /// Its process died, and of what.
    pub(crate) fn cause_of_exit(self, owner: &Owner) -> Self {
        self.cause("process_exit").certain().owner(owner)
    }

    /// How long it was quiet.
    pub(crate) fn idle(mut self, bounds: Bounds, basis: &str) -> Self {
        let (least, most) = bounds.seconds();
        self.fields.insert("idle.seconds", Want::Between(least, most));
        self.with("idle.basis", json!(basis)).with("idle.at_least", json!(false))
    }

    /// How long it was quiet, whatever that is counted from.
    pub(crate) fn idle_within(mut self, bounds: Bounds) -> Self {
        let (least, most) = bounds.seconds();
        self.fields.insert("idle.seconds", Want::Between(least, most));
        self
    }

    /// How long ago an ACK came.
    pub(crate) fn acked(mut self, bounds: Bounds) -> Self {
        let (least, most) = bounds.seconds();
        self.fields.insert("socket.ack_seconds_ago", Want::Between(least, most));
        self
    }

    /// Data segments received and sent.
    pub(crate) fn segments(self, received: u32, sent: u32) -> Self {
        self.with("socket.data_segments_in", json!(received)).with("socket.data_segments_out", json!(sent))
    }

    /// Payload bytes received.
    pub(crate) fn bytes_in(self, bytes: u64) -> Self {
        self.with("socket.bytes_in", json!(bytes))
    }

    /// Payload bytes that the other end had acknowledged.
    pub(crate) fn bytes_out(self, bytes: u64) -> Self {
        self.with("socket.bytes_out", json!(bytes))
    }

    /// Bytes its application had not read.
    pub(crate) fn unread(self, bytes: u32) -> Self {
        self.with("socket.unread_bytes", json!(bytes))
    }

    /// Sequence numbers on their way.
    pub(crate) fn unacked(self, bytes: u32) -> Self {
        self.with("socket.unacked_bytes", json!(bytes))
    }

    /// Probes without an answer.
    pub(crate) fn probes(self, probes: u8) -> Self {
        self.with("socket.probes", json!(probes))
    }

    /// Which directions were shut down.
    pub(crate) fn shutdown(self, shutdown: &str) -> Self {
        self.with("socket.shutdown", json!(shutdown))
    }

    /// The segment that asked for it.
    pub(crate) fn segment(self, flags: &str, bytes: u32) -> Self {
        self.with("segment.flags", json!(flags))
            .with("segment.bytes", json!(bytes))
            .with("segment.ttl", json!(64))
    }

    /// However long that segment was.
    pub(crate) fn any_length(self) -> Self {
        self.without("segment.bytes")
    }

    /// That segment came in sequence.
    pub(crate) fn in_sequence(self) -> Self {
        self.with("segment.sequence_distance", json!(0))
    }

    /// Nobody knows what would have been in sequence.
    pub(crate) fn no_sequence(self) -> Self {
        self.with("segment.sequence_distance", Value::Null)
    }

    /// The listener's queue.
    pub(crate) fn backlog(self, waiting: u32, limit: u32) -> Self {
        self.with("backlog", json!({ "waiting": waiting, "limit": limit }))
    }

    /// No handshake TTL is known.
    pub(crate) fn no_baseline(self) -> Self {
        self.with("baseline_ttl", Value::Null)
    }

    /// The socket, by the number that `fstat` gives.
    pub(crate) fn inode(self, inode: u64) -> Self {
        self.with("socket_inode", json!(inode))
    }

    /// The cgroup of this process, in which the socket was made.
    pub(crate) fn our_cgroup(self) -> Result<Self> {
        Ok(match crate::owner::cgroup_id()? {
            Some(id) => self.with("cgroup_id", json!(id)),
            None => self,
        })
    }
}

/// The inode number of a socket.
pub(crate) fn inode_of(socket: &Socket) -> Result<u64> {
    Ok(rustix::fs::fstat(socket)?.st_ino)
}

/// A field by its path; absent is null.
pub(crate) fn at<'a>(event: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(event, |value, name| value.get(name).unwrap_or(&Value::Null))
}
