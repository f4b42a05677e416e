//! The story of an event: a record in the ring. Lost or suppressed stories are counted, and never lose a count.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_get_smp_processor_id, bpf_jiffies64, bpf_ktime_get_ns, bpf_ringbuf_submit,
};
use monitor_common::counters::{CpuTotals, Kind, PeerCounter};
use monitor_common::peer::{ClosedMemory, Ended, Role, Side, Tuple};
use monitor_common::record::{NO_SLOT, RECORD_BYTES, RECORD_VERSION, Record, known, verdict};

use crate::baseline;
use crate::fields::{add, cpu_totals, field, number, room, settings};
use crate::maps::{EVENTS, LIMITS};
use crate::memory;
use crate::peer_fin;
use crate::peers::Tally;
use crate::segment::Segment;
use crate::socket::{CLOSE_WAIT, CLOSING, FIN_WAIT1, FIN_WAIT2, Identity, LAST_ACK, Socket, current_task};
use crate::tcp::TcpFacts;

/// An empty record; every field the hook does not fill stays unknown.
pub(crate) static EMPTY: Record = Record {
    version: RECORD_VERSION,
    known: 0,
    time_ns: 0,
    bytes_in: 0,
    bytes_out: 0,
    cgroup_id: 0,
    socket_inode: 0,
    netns: 0,
    jiffies: 0,
    sent_age: 0,
    received_age: 0,
    ack_age: 0,
    data_segs_in: 0,
    data_segs_out: 0,
    srtt_us: 0,
    unread_bytes: 0,
    unacked_bytes: 0,
    close_age: 0,
    fin_age: 0,
    fin_sent_age: 0,
    fin_received_age: 0,
    fin_last_bytes: 0,
    sequence_distance: 0,
    reason: 0,
    tgid: 0,
    pid: 0,
    task_flags: 0,
    exit_code: 0,
    segment_bytes: 0,
    ifindex: 0,
    backlog: 0,
    backlog_limit: 0,
    slot: NO_SLOT,
    cpu: 0,
    local_port: 0,
    remote_port: 0,
    local_addr: [0; 16],
    remote_addr: [0; 16],
    comm: [0; 16],
    kind: 0,
    role: 0,
    state: 0,
    state_before: 0,
    shutdown: 0,
    linger_zero: 0,
    probes: 0,
    segment_flags: 0,
    segment_ttl: 0,
    baseline_ttl: 0,
    verdicts: 0,
    active: 0,
    fin_by: 0,
    ended: 0,
    stage: 0,
    reserved: [0; 1],
};

/// Accounts for one event. Whether its story is to be told: always, or within the rate of its kind.
#[inline(never)]
pub(crate) fn is_wanted(kind: Kind) -> bool {
    let Some(totals) = cpu_totals() else { return false };
    count(totals, Account::Seen, kind);
    if kind.is_suppressible() && !within_rate(kind) {
        count(totals, Account::Suppressed, kind);
        return false;
    }
    true
}

/// Tells the story of an event that is wanted, if there is room.
#[inline(always)]
pub(crate) fn tell(kind: Kind, slot: u32, tuple: &Tuple, fill: impl FnOnce(&mut Record)) {
    // Reserved here and not in a function that returns it: old verifiers do not see there that it is not null.
    let Some(mut entry) = EVENTS.reserve::<Record>(0) else { return lost(kind, slot) };
    let record = entry.as_mut_ptr();
    // It is handed in by `submit`.
    core::mem::forget(entry);
    begin(record, kind, slot, tuple);
    // SAFETY: reserved in the ring for us, and cleared; all bits zero is a valid record.
    fill(unsafe { &mut *record });
    submit(record, kind);
}

/// There was no room.
#[inline(never)]
fn lost(kind: Kind, slot: u32) {
    if let Some(totals) = cpu_totals() {
        count(totals, Account::Lost, kind);
    }
    untold(kind, slot);
}

/// Clears a record and writes what every one has. In a frame of its own, as is everything here that fills one: old kernels allow
/// the functions under way 512 bytes of stack together.
#[inline(never)]
fn begin(record: *mut Record, kind: Kind, slot: u32, tuple: &Tuple) {
    start(clear(record), kind, slot, tuple);
}

#[inline(never)]
fn submit(record: *mut Record, kind: Kind) {
    if let Some(totals) = cpu_totals() {
        count(totals, Account::Submitted, kind);
    }
    // SAFETY: reserved by `begin`, and not handed in yet.
    let time_ns = unsafe { (*record).time_ns };
    // SAFETY: as above; nobody uses it afterwards.
    unsafe { bpf_ringbuf_submit(record.cast(), wake(time_ns)) };
}

/// An empty record, word by word: a copy of one would be made byte by byte.
#[inline(always)]
fn clear<'a>(record: *mut Record) -> &'a mut Record {
    let words = record.cast::<u64>();
    let mut next = 0;
    while next < RECORD_BYTES / 8 {
        // SAFETY: `next` is below the record's length in words, and a record is aligned to them.
        unsafe { words.add(next).write_volatile(0) };
        next += 1;
    }
    // SAFETY: all bits zero is a valid record.
    unsafe { &mut *record }
}

/// Whether this record wakes the daemon. Only after quiet on this CPU: a wake-up was measured to cost several times what a story
/// does, and after one the daemon looks again by itself, and for longer than quiet is, until nothing comes.
#[inline(always)]
fn wake(now: u64) -> u64 {
    const NO_WAKEUP: u64 = 1;
    const FORCE_WAKEUP: u64 = 2;
    const AVAILABLE_BYTES: u64 = 0;
    let Some(limits) = LIMITS.get_ptr_mut(0) else { return FORCE_WAKEUP };
    let settings = settings();
    // SAFETY: a map value of this CPU; a program that interrupts this one at worst wakes once more.
    let quiet_from = unsafe { (&raw const (*limits).wake).read_volatile() };
    // SAFETY: as above.
    unsafe { (&raw mut (*limits).wake).write_volatile(now + settings.wake_quiet_ns as u64) };
    if now >= quiet_from || EVENTS.query(AVAILABLE_BYTES) >= settings.wake_bytes as u64 {
        FORCE_WAKEUP
    } else {
        NO_WAKEUP
    }
}

/// Writes what every record has.
#[inline(always)]
pub(crate) fn start(record: &mut Record, kind: Kind, slot: u32, tuple: &Tuple) {
    record.version = RECORD_VERSION;
    // SAFETY: the helpers have no preconditions.
    record.time_ns = unsafe { bpf_ktime_get_ns() };
    // SAFETY: as above.
    record.jiffies = unsafe { bpf_jiffies64() } as u32;
    // SAFETY: as above.
    record.cpu = unsafe { bpf_get_smp_processor_id() };
    record.netns = tuple.netns;
    record.local_port = tuple.local_port;
    record.remote_port = tuple.remote_port;
    record.local_addr = tuple.local_addr;
    record.remote_addr = tuple.remote_addr;
    record.kind = kind as u8;
    record.slot = slot;
}

/// Keeps "resets = sum over causes" exact: the peer's resets without a story are a cause of their own.
#[inline(always)]
fn untold(kind: Kind, slot: u32) {
    if slot == NO_SLOT {
        return;
    }
    match kind {
        Kind::ResetSent => Tally::of(slot).add(PeerCounter::UntoldSent, 1),
        Kind::ResetReceived => Tally::of(slot).add(PeerCounter::UntoldReceived, 1),
        Kind::RefusedSent
        | Kind::RefusedReceived
        | Kind::StraySent
        | Kind::StrayReceived
        | Kind::IdleCloseSent
        | Kind::IdleCloseReceived
        | Kind::RejectSent
        | Kind::ListenOverflow => {}
    }
}

#[derive(Clone, Copy)]
enum Account {
    Seen,
    Submitted,
    Lost,
    Suppressed,
}

#[inline(always)]
fn count(totals: *mut CpuTotals, account: Account, kind: Kind) {
    // SAFETY: only an address inside the map value is taken.
    let counters = unsafe {
        match account {
            Account::Seen => &raw mut (*totals).seen,
            Account::Submitted => &raw mut (*totals).submitted,
            Account::Lost => &raw mut (*totals).lost,
            Account::Suppressed => &raw mut (*totals).suppressed,
        }
    };
    // SAFETY: a kind's number is below KINDS; the address is inside a map value.
    unsafe { add(counters.cast::<u64>().add(kind as usize), 1) };
}

/// A rate limit with a burst, per CPU and kind, in one number: the time by which the stories told so far are paid.
#[inline(always)]
fn within_rate(kind: Kind) -> bool {
    let Some(limits) = LIMITS.get_ptr_mut(0) else { return false };
    // SAFETY: a kind's number is below KINDS; `limits` is a map value of this CPU.
    let paid = unsafe { (&raw mut (*limits).paid).cast::<u64>().add(kind as usize) };
    let settings = settings();
    let interval = settings.story_interval_ns as u64;
    // Jiffies are fine enough, and cost a tenth of a clock.
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_jiffies64() } * settings.jiffy_ns as u64;
    // SAFETY: as above; a program that interrupts this one at worst tells one story more.
    let until = unsafe { paid.read_volatile() };
    let from = if until > now { until } else { now };
    if from - now > interval * settings.story_burst as u64 {
        return false;
    }
    // SAFETY: as above.
    unsafe { paid.write_volatile(from + interval) };
    true
}

/// Fills in what a full socket tells. Role and state before must be there already.
#[inline(never)]
pub(crate) fn socket(record: &mut Record, socket: Socket, identity: &Identity, facts: &TcpFacts) {
    record.known |= known::SOCKET | known::BYTES | known::SRTT;
    record.bytes_in = facts.payload_in(identity.fin_received());
    record.bytes_out = facts.payload_out(record.role, record.state_before);
    record.srtt_us = facts.srtt_us;
    record.data_segs_in = facts.data_segs_in;
    record.data_segs_out = facts.data_segs_out;
    let now = record.jiffies;
    record.sent_age = now.wrapping_sub(facts.lsndtime);
    record.received_age = now.wrapping_sub(facts.lrcvtime);
    record.ack_age = now.wrapping_sub(facts.rcv_tstamp);
    record.unread_bytes = facts.unread_bytes(identity.fin_received());
    record.unacked_bytes = facts.unacked_bytes();
    record.shutdown = socket.shutdown();
    record.probes = facts.probes_out as u8;
    record.linger_zero = socket.lingers_zero(identity.flags) as u8;
    if identity.ttl > 1 {
        record.known |= known::BASELINE;
        record.baseline_ttl = identity.ttl;
    } else if record.role == Role::Client as u8 {
        baseline(record, baseline::of_connection(socket.0));
    }
    if identity.is_orphan() {
        record.verdicts |= verdict::ORPHAN;
    }
    let file = socket.file();
    if field!(sk_socket).is_present() && file == 0 {
        record.verdicts |= verdict::NO_FILE;
    } else if field!(socket_inode).is_present() {
        record.known |= known::INODE;
        record.socket_inode = number(file, field!(socket_inode));
    }
    if let Some(id) = socket.cgroup_id() {
        record.known |= known::CGROUP;
        record.cgroup_id = id;
    }
}

/// Fills in the TTL that the peer's segments usually have, if it is known.
#[inline(always)]
pub(crate) fn baseline(record: &mut Record, ttl: Option<u8>) {
    if let Some(ttl) = ttl {
        record.known |= known::BASELINE;
        record.baseline_ttl = ttl;
    }
}

/// Fills in whose FIN was first, and how quiet it was then, for a connection that was in `state`.
#[inline(never)]
pub(crate) fn first_fin(record: &mut Record, sk: u64, facts: &TcpFacts, tuple: &Tuple, state: u8) {
    if matches!(state, CLOSE_WAIT | LAST_ACK) {
        record.fin_by = Side::Peer as u8;
        if let Some(fin) = peer_fin::recall(sk, facts) {
            fin_ages(record, fin.jiffies, fin.lsndtime, fin.lrcvtime);
            record.fin_last_bytes = fin.last_bytes;
            if fin.snd_una != facts.snd_una {
                record.verdicts |= verdict::ANSWERED_AFTER_FIN;
            }
        }
    } else if matches!(state, FIN_WAIT1 | FIN_WAIT2 | CLOSING) {
        record.fin_by = Side::Local as u8;
        if let Some(memory) = memory::recall(tuple) {
            // SAFETY: a map value that is valid while the program runs.
            local_fin(record, unsafe { &*memory });
        }
    }
}

#[inline(always)]
fn local_fin(record: &mut Record, memory: &ClosedMemory) {
    if memory.ended == Ended::OurFin as u8 {
        record.fin_by = Side::Local as u8;
        fin_ages(record, memory.jiffies, memory.lsndtime, memory.lrcvtime);
        record.fin_last_bytes = memory.last_bytes;
        closed_by(record, memory);
    }
}

/// Whoever closed owns what comes after.
#[inline(always)]
fn closed_by(record: &mut Record, memory: &ClosedMemory) {
    if memory.tgid != 0 {
        record.known |= known::OWNER;
        record.tgid = memory.tgid;
        record.pid = memory.pid;
        record.task_flags = memory.task_flags;
        record.exit_code = memory.exit_code;
        record.comm = memory.comm;
    }
}

#[inline(always)]
pub(crate) fn fin_ages(record: &mut Record, jiffies: u32, lsndtime: u32, lrcvtime: u32) {
    let now = record.jiffies;
    record.known |= known::FIN;
    record.fin_age = now.wrapping_sub(jiffies);
    record.fin_sent_age = now.wrapping_sub(lsndtime);
    record.fin_received_age = now.wrapping_sub(lrcvtime);
}

/// Fills in what the closed memory tells.
#[inline(never)]
pub(crate) fn memory(record: &mut Record, memory: &ClosedMemory) {
    record.known |= known::MEMORY | known::ROLE | known::STATE_BEFORE | known::BYTES | known::SRTT;
    record.role = memory.role;
    record.state_before = memory.state;
    record.bytes_in = memory.bytes_in;
    record.bytes_out = memory.bytes_out;
    record.srtt_us = memory.srtt_us;
    record.data_segs_in = memory.data_segs_in;
    record.data_segs_out = memory.data_segs_out;
    record.sent_age = record.jiffies.wrapping_sub(memory.lsndtime);
    record.received_age = record.jiffies.wrapping_sub(memory.lrcvtime);
    record.close_age = record.jiffies.wrapping_sub(memory.jiffies);
    record.ended = memory.ended;
    local_fin(record, memory);
    closed_by(record, memory);
}

/// Fills in what a segment tells.
#[inline(never)]
pub(crate) fn segment(record: &mut Record, segment: &Segment) {
    record.known |= known::SEGMENT;
    record.segment_flags = segment.flags();
    record.segment_bytes = segment.payload();
    record.segment_ttl = segment.ttl();
    record.ifindex = segment.ifindex;
}

/// The same with how far it is from the sequence number that would have been next.
#[inline(always)]
pub(crate) fn segment_expected(record: &mut Record, segment: &Segment, expected: u32) {
    self::segment(record, segment);
    distance(record, segment, expected);
}

/// How far a segment is from the sequence number that would have been next.
#[inline(always)]
pub(crate) fn distance(record: &mut Record, segment: &Segment, expected: u32) {
    record.known |= known::DISTANCE;
    record.sequence_distance = segment.sequence().wrapping_sub(expected);
}

/// The same, read here.
#[inline(never)]
pub(crate) fn segment_of(record: &mut Record, skb: u64, expected: u32) {
    let mut room_for_segment = room();
    segment_expected(record, Segment::of(skb, &mut room_for_segment), expected);
}

/// The same of a reset that refuses: nothing was expected yet.
#[inline(never)]
pub(crate) fn refusing_segment(record: &mut Record, skb: u64) {
    let mut room_for_segment = room();
    segment(record, Segment::of(skb, &mut room_for_segment));
}

/// Fills in the current task. Only where it is known to be the owner.
#[inline(never)]
pub(crate) fn owner(record: &mut Record) {
    let id = bpf_get_current_pid_tgid();
    record.known |= known::OWNER;
    record.tgid = (id >> 32) as u32;
    record.pid = id as u32;
    let (flags, exit_code) = current_task();
    record.task_flags = flags;
    record.exit_code = exit_code;
    // SAFETY: the helper writes at most as many bytes as it is told.
    unsafe { bpf_get_current_comm((&raw mut record.comm).cast(), 16) };
}
