//! Bytes to event: checked reads, no transmute, no panic. Pure.
//!
//! A record that is not understood is an error with a kind; the caller counts it and goes on.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bytes::Buf;
use monitor_common::counters::Kind;
use monitor_common::peer::{Ended, Role, Side};
use monitor_common::record::{
    EXIT_OOM, NO_SLOT, PF_EXITING, RECORD_BYTES, RECORD_VERSION, Stage, known, verdict,
};

use crate::clock::Timebase;
use crate::event::{Counted, Event, Fin, Owner, Quiet, Reason, Segment, SocketFacts, TcpState};

/// The only signal that the OOM killer sends.
const SIGKILL: u8 = 9;

/// Why a record was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the size of a record.
    #[error("decode record: {length} bytes instead of {RECORD_BYTES}")]
    Length {
        /// Its size.
        length: usize,
    },
    /// Written by programs of another build.
    #[error("decode record: version {version} instead of {RECORD_VERSION}")]
    Version {
        /// Its version.
        version: u32,
    },
    /// A kind of story this build does not know.
    #[error("decode record: unknown kind {code}")]
    Kind {
        /// Its code.
        code: u8,
    },
}

/// Decodes one record. `timebase` turns the kernel's times into ours.
pub fn decode(bytes: &[u8], timebase: &Timebase) -> Result<Event, DecodeError> {
    if bytes.len() != RECORD_BYTES {
        return Err(DecodeError::Length { length: bytes.len() });
    }
    let raw = Raw::read(bytes);
    if raw.version != RECORD_VERSION {
        return Err(DecodeError::Version { version: raw.version });
    }
    let kind = Kind::from_code(raw.kind).ok_or(DecodeError::Kind { code: raw.kind })?;
    Ok(raw.event(kind, timebase))
}

/// Monotonic nanoseconds of a record's hook; 0 for one that is still being written.
pub fn peek_time_ns(bytes: &[u8; RECORD_BYTES]) -> u64 {
    Raw::read(bytes).time_ns
}

/// The numbers of a record, in its order.
struct Raw {
    version: u32,
    known: u32,
    time_ns: u64,
    bytes_in: u64,
    bytes_out: u64,
    cgroup_id: u64,
    socket_inode: u64,
    netns: u32,
    sent_age: u32,
    received_age: u32,
    ack_age: u32,
    data_segs_in: u32,
    data_segs_out: u32,
    srtt_us: u32,
    unread_bytes: u32,
    unacked_bytes: u32,
    close_age: u32,
    fin_age: u32,
    fin_sent_age: u32,
    fin_received_age: u32,
    fin_last_bytes: u32,
    sequence_distance: u32,
    reason: u32,
    tgid: u32,
    pid: u32,
    task_flags: u32,
    exit_code: u32,
    segment_bytes: u32,
    ifindex: u32,
    backlog: u32,
    backlog_limit: u32,
    slot: u32,
    local_port: u16,
    remote_port: u16,
    local_addr: [u8; 16],
    remote_addr: [u8; 16],
    comm: [u8; 16],
    kind: u8,
    role: u8,
    state: u8,
    state_before: u8,
    shutdown: u8,
    linger_zero: u8,
    probes: u8,
    segment_flags: u8,
    segment_ttl: u8,
    baseline_ttl: u8,
    verdicts: u8,
    active: u8,
    fin_by: u8,
    ended: u8,
    stage: u8,
}

impl Raw {
    /// Reads field by field, in the order of `monitor_common::record::Record`; the caller has checked the length.
    fn read(mut bytes: &[u8]) -> Self {
        let buf = &mut bytes;
        let version = buf.get_u32_le();
        let known = buf.get_u32_le();
        let time_ns = buf.get_u64_le();
        let bytes_in = buf.get_u64_le();
        let bytes_out = buf.get_u64_le();
        let cgroup_id = buf.get_u64_le();
        let socket_inode = buf.get_u64_le();
        let netns = buf.get_u32_le();
        let _jiffies = buf.get_u32_le();
        let sent_age = buf.get_u32_le();
        let received_age = buf.get_u32_le();
        let ack_age = buf.get_u32_le();
        let data_segs_in = buf.get_u32_le();
        let data_segs_out = buf.get_u32_le();
        let srtt_us = buf.get_u32_le();
        let unread_bytes = buf.get_u32_le();
        let unacked_bytes = buf.get_u32_le();
        let close_age = buf.get_u32_le();
        let fin_age = buf.get_u32_le();
        let fin_sent_age = buf.get_u32_le();
        let fin_received_age = buf.get_u32_le();
        let fin_last_bytes = buf.get_u32_le();
        let sequence_distance = buf.get_u32_le();
        let reason = buf.get_u32_le();
        let tgid = buf.get_u32_le();
        let pid = buf.get_u32_le();
        let task_flags = buf.get_u32_le();
        let exit_code = buf.get_u32_le();
        let segment_bytes = buf.get_u32_le();
        let ifindex = buf.get_u32_le();
        let backlog = buf.get_u32_le();
        let backlog_limit = buf.get_u32_le();
        let slot = buf.get_u32_le();
        let _cpu = buf.get_u32_le();
        let local_port = buf.get_u16_le();
        let remote_port = buf.get_u16_le();
        Self {
            version,
            known,
            time_ns,
            bytes_in,
            bytes_out,
            cgroup_id,
            socket_inode,
            netns,
            sent_age,
            received_age,
            ack_age,
            data_segs_in,
            data_segs_out,
            srtt_us,
            unread_bytes,
            unacked_bytes,
            close_age,
            fin_age,
            fin_sent_age,
            fin_received_age,
            fin_last_bytes,
            sequence_distance,
            reason,
            tgid,
            pid,
            task_flags,
            exit_code,
            segment_bytes,
            ifindex,
            backlog,
            backlog_limit,
            slot,
            local_port,
            remote_port,
            local_addr: sixteen(buf),
            remote_addr: sixteen(buf),
            comm: sixteen(buf),
            kind: buf.get_u8(),
            role: buf.get_u8(),
            state: buf.get_u8(),
            state_before: buf.get_u8(),
            shutdown: buf.get_u8(),
            linger_zero: buf.get_u8(),
            probes: buf.get_u8(),
            segment_flags: buf.get_u8(),
            segment_ttl: buf.get_u8(),
            baseline_ttl: buf.get_u8(),
            verdicts: buf.get_u8(),
            active: buf.get_u8(),
            fin_by: buf.get_u8(),
            ended: buf.get_u8(),
            stage: buf.get_u8(),
        }
    }

    fn knows(&self, group: u32) -> bool {
        self.known & group != 0
    }

    fn has_verdict(&self, bit: u8) -> bool {
        self.verdicts & bit != 0
    }

    fn event(&self, kind: Kind, timebase: &Timebase) -> Event {
        Event {
            kind,
            time: timebase.wall.at(self.time_ns),
            monotonic_ns: self.time_ns,
            netns: self.netns,
            local: SocketAddr::new(address(self.local_addr), self.local_port),
            remote: SocketAddr::new(address(self.remote_addr), self.remote_port),
            role: self.knows(known::ROLE).then(|| Role::from_code(self.role)).flatten(),
            slot: (self.slot != NO_SLOT).then_some(self.slot),
            state: (self.state != 0).then_some(TcpState(self.state)),
            state_before: self.knows(known::STATE_BEFORE).then_some(TcpState(self.state_before)),
            reason: self.knows(known::REASON).then_some(Reason { code: self.reason, name: None }),
            active: self.active != 0,
            carried_data: self.has_verdict(verdict::CARRIED_DATA),
            destroyed: self.has_verdict(verdict::DESTROYED),
            orphan: self.has_verdict(verdict::ORPHAN),
            fileless: self.has_verdict(verdict::NO_FILE),
            counted: self.counted(),
            socket: self.socket(timebase),
            since_close: self.knows(known::MEMORY).then(|| timebase.age(self.close_age)),
            ended: self.knows(known::MEMORY).then(|| Ended::from_code(self.ended)).flatten(),
            fin: self.fin(timebase),
            idle: None,
            peers_idle_closes: None,
            segment: self.knows(known::SEGMENT).then_some(Segment {
                flags: self.segment_flags,
                bytes: self.segment_bytes,
                ttl: self.segment_ttl,
                ifindex: self.ifindex,
                sequence_distance: self
                    .knows(known::DISTANCE)
                    .then_some(self.sequence_distance.cast_signed()),
            }),
            baseline_ttl: self.knows(known::BASELINE).then_some(self.baseline_ttl),
            backlog: self.knows(known::BACKLOG).then_some((self.backlog, self.backlog_limit)),
            stage: Stage::from_code(self.stage),
            cgroup_id: self.knows(known::CGROUP).then_some(self.cgroup_id),
            socket_inode: self.knows(known::INODE).then_some(self.socket_inode),
            owner: self.knows(known::OWNER).then(|| self.owner()),
        }
    }

    fn counted(&self) -> Option<Counted> {
        if self.has_verdict(verdict::COUNTED_RESET) {
            Some(Counted::Reset)
        } else if self.has_verdict(verdict::COUNTED_ABORTED) {
            Some(Counted::Aborted)
        } else {
            None
        }
    }

    fn fin(&self, timebase: &Timebase) -> Option<Fin> {
        let by = Side::from_code(self.fin_by)?;
        let quiet = self.knows(known::FIN).then(|| Quiet {
            age: timebase.age(self.fin_age),
            sent_age: timebase.age(self.fin_sent_age),
            received_age: timebase.age(self.fin_received_age),
            last_bytes: self.fin_last_bytes,
            answered: self.has_verdict(verdict::ANSWERED_AFTER_FIN),
        });
        Some(Fin { by, quiet })
    }

    fn socket(&self, timebase: &Timebase) -> Option<SocketFacts> {
        let live = self.knows(known::SOCKET);
        (live || self.knows(known::MEMORY)).then(|| SocketFacts {
            data_segments_in: self.data_segs_in,
            data_segments_out: self.data_segs_out,
            bytes_in: self.knows(known::BYTES).then_some(self.bytes_in),
            bytes_out: self.knows(known::BYTES).then_some(self.bytes_out),
            // The kernel keeps eighths.
            srtt_us: self.knows(known::SRTT).then_some(self.srtt_us >> 3).filter(|&srtt| srtt != 0),
            sent_age: timebase.age(self.sent_age),
            received_age: timebase.age(self.received_age),
            ack_age: live.then(|| timebase.age(self.ack_age)),
            unread_bytes: live.then_some(self.unread_bytes),
            unacked_bytes: live.then_some(self.unacked_bytes),
            probes: live.then_some(self.probes),
            linger_zero: live.then_some(self.linger_zero != 0),
            shutdown: live.then_some(self.shutdown),
        })
    }

    fn owner(&self) -> Owner {
        let exiting = self.task_flags & PF_EXITING != 0;
        // The low seven bits of an exit code are the signal, as in wait(2).
        let [signal, ..] = (self.exit_code & 0x7f).to_le_bytes();
        let exit_signal = (exiting && signal != 0).then_some(signal);
        Owner {
            pid: self.tgid,
            tid: self.pid,
            comm: task_name(&self.comm),
            exiting,
            exit_signal,
            // A task that is ending anyway is chosen, too, to let it end with what memory is left: that did not kill it.
            oom_killed: exit_signal == Some(SIGKILL) && self.exit_code & EXIT_OOM != 0,
        }
    }
}

fn sixteen(buf: &mut &[u8]) -> [u8; 16] {
    let mut bytes = [0; 16];
    buf.copy_to_slice(&mut bytes);
    bytes
}

/// An address as users know it: v4-mapped ones are IPv4.
pub fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

/// A task's name up to the first NUL, with control characters and broken UTF-8 replaced: a process chooses its name.
fn task_name(comm: &[u8; 16]) -> String {
    let end = comm.iter().position(|&byte| byte == 0).unwrap_or(comm.len());
    let name = String::from_utf8_lossy(&comm[..end]);
    name.chars().map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

#[cfg(test)]
mod tests;
