//! What a full TCP socket tells. Never to be used on a TIME_WAIT or request socket, which end early.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::bpf_get_current_task;
use monitor_common::peer::{HeldKey, Role, Tuple};
use monitor_common::places::{COMMON_BYTES, COMMONS, Common, INET_BYTES, INETS, Inet, ZEROS};
use monitor_common::record::{EXIT_OOM, PF_EXITING};

use crate::fields::{Copied, clear, field, is_mapped, mapped_words, number};
use crate::maps::{PLACES, PROTOCOL_PLACES, PROTOCOLS, ROLES, Rare, ever, note_ever};

pub(crate) const ESTABLISHED: u8 = 1;
pub(crate) const SYN_SENT: u8 = 2;
pub(crate) const SYN_RECV: u8 = 3;
pub(crate) const FIN_WAIT1: u8 = 4;
pub(crate) const FIN_WAIT2: u8 = 5;
pub(crate) const TIME_WAIT: u8 = 6;
pub(crate) const CLOSE: u8 = 7;
pub(crate) const CLOSE_WAIT: u8 = 8;
pub(crate) const LAST_ACK: u8 = 9;
pub(crate) const LISTEN: u8 = 10;
pub(crate) const CLOSING: u8 = 11;

/// The bit of `sk_shutdown` that says that nothing is received any more.
pub(crate) const RCV_SHUTDOWN: u8 = 1;

const AF_INET: u16 = 2;
const IPPROTO_TCP: u64 = 6;
const SOCK_DEAD: u64 = 1 << 0;
const SOCK_DONE: u64 = 1 << 1;
const SOCK_LINGER: u64 = 1 << 4;
/// Noted instead of a role while a simultaneous open is under way.
const CROSSING: u8 = 3;
/// TTL that a socket has where no handshake ACK was noted: a client.
const NO_HANDSHAKE_TTL: u8 = 1;

/// Whether a connection in this state has been established and is not over.
#[inline(always)]
pub(crate) const fn is_live(state: u8) -> bool {
    matches!(state, ESTABLISHED | FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT | LAST_ACK | CLOSING)
}

/// Whose connection a socket is, and what stands beside it in memory.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Identity {
    pub(crate) tuple: Tuple,
    /// `SOCK_DEAD`, `SOCK_DONE`, ... as bits.
    pub(crate) flags: u64,
    /// TTL of the handshake's last ACK on an accepted socket, 1 on a client: `tcp_v4_syn_recv_sock` notes it in
    /// `inet_sock.mc_ttl`, `tcp_v6_syn_recv_sock` in `ipv6_pinfo.mcast_hops` (5.10 to 7.2), and applications cannot change
    /// either on a stream socket.
    pub(crate) ttl: u8,
    /// `skc_state`.
    pub(crate) state: u8,
    /// Not the parent of MPTCP subflows.
    pub(crate) tcp: bool,
    reserved: [u8; 5],
}

/// A full socket, by its kernel address.
#[derive(Clone, Copy)]
pub(crate) struct Socket(pub(crate) u64);

impl Socket {
    /// `skc_state`. Valid for every kind of socket.
    #[inline(always)]
    pub(crate) fn state(self) -> u8 {
        number(self.0, field!(state)) as u8
    }

    /// Not the parent of MPTCP subflows, which reports states of its own.
    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        is_tcp(self.0, number(self.0, field!(prot)))
    }

    /// Inode number of the network namespace. Valid for every kind of socket.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        let net = number(self.0, field!(net));
        number(net, field!(net_inum)) as u32
    }

    /// Whose connection it is.
    #[inline(always)]
    pub(crate) fn identify(self, room: &mut MaybeUninit<Identity>) -> &Identity {
        // SAFETY: integers and a bool.
        let identity = unsafe { clear(room) };
        let v4 = read_common(self.0, identity);
        read_inet(self.0, identity, v4);
        identity
    }

    /// The role, also where the handshake TTL does not tell it.
    #[inline(always)]
    pub(crate) fn role(self, identity: &Identity) -> Role {
        if let Some(exception) = self.role_exception() {
            return exception;
        }
        identity.role_by_ttl()
    }

    /// The role noted by [`Socket::note_role`]. A crossing connection's handshake TTL is right.
    #[inline(always)]
    fn role_exception(self) -> Option<Role> {
        Role::from_code(self.noted()?)
    }

    #[inline(always)]
    fn noted(self) -> Option<u8> {
        if !ever(Rare::RoleNoted) {
            return None;
        }
        // SAFETY: one byte is copied out of the map value at once.
        unsafe { ROLES.get(self.0).copied() }
    }

    /// Remembers a role that the handshake TTL tells wrongly: a peer that really sends TTL 1, or a socket that was accepted,
    /// disconnected and connected.
    #[inline(always)]
    pub(crate) fn note_role(self, role: Role) {
        self.note(role as u8);
    }

    #[inline(always)]
    fn note(self, code: u8) {
        if ROLES.insert(self.0, code, 0).is_ok() {
            note_ever(Rare::RoleNoted);
        }
    }

    /// Forgets it; the socket's address may be used again.
    #[inline(always)]
    pub(crate) fn forget_role(self) {
        if ever(Rare::RoleNoted) {
            // Absent is the usual case and as good.
            let _absent = ROLES.remove(self.0);
        }
    }

    /// Remembers a simultaneous open: it goes on like a server's, and is a client.
    #[inline(always)]
    pub(crate) fn note_crossing(self) {
        self.note(CROSSING);
    }

    /// Whether this connection was opened simultaneously.
    #[inline(always)]
    pub(crate) fn opened_crossing(self) -> bool {
        self.noted() == Some(CROSSING)
    }

    #[inline(always)]
    pub(crate) fn data_segs_in(self) -> u32 {
        number(self.0, field!(data_segs_in)) as u32
    }

    #[inline(always)]
    pub(crate) fn data_segs_out(self) -> u32 {
        number(self.0, field!(data_segs_out)) as u32
    }

    /// `SO_LINGER` with time 0. `flags` are the socket's.
    #[inline(always)]
    pub(crate) fn lingers_zero(self, flags: u64) -> bool {
        flags & SOCK_LINGER != 0 && number(self.0, field!(sk_lingertime)) == 0
    }

    /// Next sequence number that a `TIME_WAIT` socket expects; `None` when the kernel does not tell.
    #[inline(always)]
    pub(crate) fn time_wait_rcv_nxt(self) -> Option<u32> {
        let field = field!(tw_rcv_nxt);
        field.is_present().then(|| number(self.0, field) as u32)
    }

    /// The key under which a reset received by this socket is held.
    #[inline(always)]
    pub(crate) fn held_key(self, tuple: &Tuple, rcv_nxt: u32) -> HeldKey {
        HeldKey { socket: self.0, rcv_nxt, local_port: tuple.local_port, remote_port: tuple.remote_port }
    }

    #[inline(always)]
    pub(crate) fn shutdown(self) -> u8 {
        // sk_shutdown has two bits and shares no byte.
        (number(self.0, field!(sk_shutdown)) & 3) as u8
    }

    /// Whether MPTCP uses it as one of its connection's paths.
    #[inline(always)]
    pub(crate) fn is_subflow(self) -> bool {
        number(self.0, field!(is_mptcp)) != 0
    }

    /// Address of the `struct socket`, and so of a file, that is attached; 0 for none.
    #[inline(always)]
    pub(crate) fn file(self) -> u64 {
        number(self.0, field!(sk_socket))
    }

    /// Id of the socket's cgroup, `None` when the kernel does not tell.
    #[inline(always)]
    pub(crate) fn cgroup_id(self) -> Option<u64> {
        let cgroup = if field!(sk_cgroup).is_present() {
            number(self.0, field!(sk_cgroup))
        } else {
            let tagged = number(self.0, field!(sk_cgroup_val));
            // Set low bits say that it holds a net_cls class and not a pointer.
            if tagged & 3 == 0 { tagged } else { 0 }
        };
        if cgroup == 0 {
            return None;
        }
        let node = number(cgroup, field!(cgroup_kn));
        (node != 0).then(|| number(node, field!(kernfs_id)))
    }
}

impl Identity {
    /// The role that the handshake TTL tells.
    #[inline(always)]
    pub(crate) fn role_by_ttl(&self) -> Role {
        if self.ttl == NO_HANDSHAKE_TTL { Role::Client } else { Role::Server }
    }

    /// `SOCK_DEAD`: no application has it any more.
    #[inline(always)]
    pub(crate) fn is_orphan(&self) -> bool {
        self.flags & SOCK_DEAD != 0
    }

    /// `SOCK_DONE`: the peer's FIN has come.
    #[inline(always)]
    pub(crate) fn fin_received(&self) -> bool {
        self.flags & SOCK_DONE != 0
    }
}

/// In a frame of its own, for the sake of the stack. Whether the addresses are IPv4.
#[inline(never)]
fn read_common(sk: u64, identity: &mut Identity) -> bool {
    let part = &raw const PLACES.common;
    let mut copied = Copied::<{ ZEROS + COMMON_BYTES }>::room();
    // SAFETY: `part` points into PLACES.
    if !unsafe { copied.fill(sk, part) } {
        return false;
    }
    macro_rules! pick {
        ($field:ident as $number:ty) => {
            // SAFETY: copied above, and of the size that the daemon requires.
            unsafe { copied.pick::<$number, COMMONS>(part, Common::$field as usize) }
        };
    }
    let (local, remote) = if pick!(Family as u16) == AF_INET {
        (mapped_words(pick!(RcvSaddr as u32)), mapped_words(pick!(Daddr as u32)))
    } else {
        (pick!(V6RcvSaddr as [u64; 2]), pick!(V6Daddr as [u64; 2]))
    };
    // SAFETY: both addresses are aligned to 8 in a tuple.
    unsafe { (&raw mut identity.tuple.local_addr).cast::<[u64; 2]>().write(local) };
    // SAFETY: as above.
    unsafe { (&raw mut identity.tuple.remote_addr).cast::<[u64; 2]>().write(remote) };
    identity.tuple.remote_port = u16::from_be(pick!(Dport as u16));
    identity.tuple.netns = number(pick!(Net as u64), field!(net_inum)) as u32;
    identity.flags = pick!(Flags as u64);
    identity.state = pick!(State as u8);
    identity.tcp = is_tcp(sk, pick!(Prot as u64));
    is_mapped(remote)
}

/// Likewise.
#[inline(never)]
fn read_inet(sk: u64, identity: &mut Identity, v4: bool) {
    let part = &raw const PLACES.inet;
    let mut copied = Copied::<{ ZEROS + INET_BYTES }>::room();
    // SAFETY: `part` points into PLACES.
    if !unsafe { copied.fill(sk, part) } {
        return;
    }
    // `skc_num` is 0 once the socket is unbound, and CLOSE unbinds first.
    // SAFETY: copied above, and of the size that the daemon requires.
    identity.tuple.local_port =
        u16::from_be(unsafe { copied.pick::<u16, INETS>(part, Inet::Sport as usize) });
    identity.ttl = if v4 {
        // SAFETY: as above.
        unsafe { copied.pick::<u8, INETS>(part, Inet::McTtl as usize) }
    } else {
        let pinet6 = number(sk, field!(pinet6));
        if pinet6 == 0 { NO_HANDSHAKE_TTL } else { number(pinet6, field!(mcast_hops)) as u8 }
    };
}

/// By the protocol's address, which is looked into once: `tcp_prot` and `tcpv6_prot` are part of the kernel and stay.
/// Others that carry TCP, as kTLS puts in their place, are looked into when they meet in one place.
#[inline(always)]
fn is_tcp(sk: u64, prot: u64) -> bool {
    let place = PROTOCOLS.get_ptr_mut((prot >> 6) as u32 & (PROTOCOL_PLACES - 1));
    let Some(known) = place else { return false };
    // SAFETY: `known` is a map value; one word, so whole.
    if unsafe { known.read_volatile() } == prot {
        return true;
    }
    let tcp = number(sk, field!(sk_protocol)) & 0xffff == IPPROTO_TCP;
    if tcp {
        // SAFETY: as above.
        unsafe { known.write_volatile(prot) };
    }
    tcp
}

/// Flags and exit code of the current task, as in a record. Means something only where the current task is the owner.
#[inline(always)]
pub(crate) fn current_task() -> (u32, u32) {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let flags = number(task, field!(task_flags)) as u32;
    // A negative number, which only kernel threads end with, has the bit as well.
    let exit_code = number(task, field!(task_exit_code)) as u32 & !EXIT_OOM;
    (flags, if flags & PF_EXITING != 0 { exit_code | oom_bit(task) } else { exit_code })
}

/// [`EXIT_OOM`] for a task that the OOM killer chose, as `tsk_is_oom_victim()` of `include/linux/oom.h` tells (5.10 to 7.2).
#[inline(always)]
fn oom_bit(task: u64) -> u32 {
    let signal = number(task, field!(task_signal));
    if signal != 0 && number(signal, field!(signal_oom_mm)) != 0 { EXIT_OOM } else { 0 }
}
