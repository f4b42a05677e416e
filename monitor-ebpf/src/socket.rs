//! What a full TCP socket tells. Never to be used on a TIME_WAIT or request socket, which end early.

use aya_ebpf::helpers::bpf_get_current_task;
use monitor_common::peer::{HeldKey, Role, Tuple};

use crate::fields::{Copied, field, is_mapped, mapped, number};
use crate::maps::{ROLES, Rare, ever, note_ever};

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
/// As much of `struct sock_common` as the fields above take, on every kernel seen: 88 bytes.
const SOCK_COMMON: usize = 104;
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
        number(self.0, field!(sk_protocol)) & 0xffff == IPPROTO_TCP
    }

    /// Inode number of the network namespace. Valid for every kind of socket.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        let net = number(self.0, field!(net));
        number(net, field!(net_inum)) as u32
    }

    /// The four-tuple. The local port comes from `inet_sport`: `skc_num` is 0 once the socket is unbound, and
    /// CLOSE unbinds first.
    #[inline(always)]
    pub(crate) fn tuple(self) -> Tuple {
        let mut tuple =
            Tuple { local_addr: [0; 16], remote_addr: [0; 16], netns: 0, local_port: 0, remote_port: 0 };
        read_tuple(self.0, &mut tuple);
        tuple
    }

    /// TTL of the handshake's last ACK on an accepted socket, 1 on a client: `tcp_v4_syn_recv_sock` notes it in
    /// `inet_sock.mc_ttl`, `tcp_v6_syn_recv_sock` in `ipv6_pinfo.mcast_hops` (5.10 to 7.2), and applications
    /// cannot change either on a stream socket.
    #[inline(always)]
    pub(crate) fn handshake_ttl(self, tuple: &Tuple) -> u8 {
        if is_mapped(&tuple.remote_addr) {
            number(self.0, field!(mc_ttl)) as u8
        } else {
            let pinet6 = number(self.0, field!(pinet6));
            if pinet6 == 0 { NO_HANDSHAKE_TTL } else { number(pinet6, field!(mcast_hops)) as u8 }
        }
    }

    /// The role that the handshake TTL tells.
    #[inline(always)]
    pub(crate) fn role_by_ttl(self, tuple: &Tuple) -> Role {
        if self.handshake_ttl(tuple) == NO_HANDSHAKE_TTL { Role::Client } else { Role::Server }
    }

    /// The role, also where the handshake TTL does not tell it.
    #[inline(always)]
    pub(crate) fn role(self, tuple: &Tuple) -> Role {
        if let Some(exception) = self.role_exception() {
            return exception;
        }
        self.role_by_ttl(tuple)
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

    /// `SOCK_DEAD`: no application has it any more.
    #[inline(always)]
    pub(crate) fn is_orphan(self) -> bool {
        number(self.0, field!(sk_flags)) & SOCK_DEAD != 0
    }

    /// `SO_LINGER` with time 0.
    #[inline(always)]
    pub(crate) fn lingers_zero(self) -> bool {
        number(self.0, field!(sk_flags)) & SOCK_LINGER != 0 && number(self.0, field!(sk_lingertime)) == 0
    }

    /// Bytes the application had not read. A received FIN takes one sequence number without being data.
    #[inline(always)]
    pub(crate) fn unread_bytes(self) -> u32 {
        let received = number(self.0, field!(rcv_nxt)) as u32;
        let copied = number(self.0, field!(copied_seq)) as u32;
        let fin = u32::from(number(self.0, field!(sk_flags)) & SOCK_DONE != 0);
        let unread = received.wrapping_sub(copied).wrapping_sub(fin);
        // Past half the sequence space it is a difference below zero: everything was read.
        if unread > i32::MAX as u32 { 0 } else { unread }
    }

    /// Payload bytes received in order. The kernel counts the peer's FIN as one.
    #[inline(always)]
    pub(crate) fn bytes_in(self) -> u64 {
        let fin = u64::from(number(self.0, field!(sk_flags)) & SOCK_DONE != 0);
        number(self.0, field!(bytes_received)).saturating_sub(fin)
    }

    /// Payload bytes that the peer acknowledged. The kernel counts a client's SYN as one, and our FIN, which was
    /// acknowledged if the socket is, or was before it closed, in `FIN_WAIT2`.
    #[inline(always)]
    pub(crate) fn bytes_out(self, role: u8, state: u8) -> u64 {
        let syn = u64::from(role == Role::Client as u8);
        let fin = u64::from(state == FIN_WAIT2);
        number(self.0, field!(bytes_acked)).saturating_sub(syn + fin)
    }

    /// Sequence numbers sent that were not acknowledged.
    #[inline(always)]
    pub(crate) fn unacked_bytes(self) -> u32 {
        let sent = number(self.0, field!(snd_nxt)) as u32;
        sent.wrapping_sub(number(self.0, field!(snd_una)) as u32)
    }

    /// Next sequence number expected.
    #[inline(always)]
    pub(crate) fn rcv_nxt(self) -> u32 {
        number(self.0, field!(rcv_nxt)) as u32
    }

    /// The same of a `TIME_WAIT` socket; `None` when the kernel does not tell.
    #[inline(always)]
    pub(crate) fn time_wait_rcv_nxt(self) -> Option<u32> {
        let field = field!(tw_rcv_nxt);
        field.is_present().then(|| number(self.0, field) as u32)
    }

    /// The key under which a reset received by this socket is held.
    #[inline(always)]
    pub(crate) fn held_key(self, tuple: &Tuple) -> HeldKey {
        HeldKey {
            socket: self.0,
            rcv_nxt: self.rcv_nxt(),
            local_port: tuple.local_port,
            remote_port: tuple.remote_port,
        }
    }

    #[inline(always)]
    pub(crate) fn shutdown(self) -> u8 {
        // sk_shutdown has two bits and shares no byte.
        (number(self.0, field!(sk_shutdown)) & 3) as u8
    }

    #[inline(always)]
    pub(crate) fn probes_out(self) -> u8 {
        number(self.0, field!(probes_out)) as u8
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

/// In a frame of its own, for the sake of the stack. A read of the whole common part costs what one of its fields does.
#[inline(never)]
fn read_tuple(sk: u64, tuple: &mut Tuple) {
    let common = Copied::<SOCK_COMMON>::read(sk, field!(sock_common));
    if u16::from_le_bytes(common.pick(field!(family))) == AF_INET {
        tuple.local_addr = mapped(common.pick(field!(rcv_saddr)));
        tuple.remote_addr = mapped(common.pick(field!(daddr)));
    } else {
        tuple.local_addr = common.pick(field!(v6_rcv_saddr));
        tuple.remote_addr = common.pick(field!(v6_daddr));
    }
    tuple.remote_port = u16::from_be_bytes(common.pick(field!(dport)));
    tuple.local_port = u16::from_be(number(sk, field!(inet_sport)) as u16);
    tuple.netns = number(u64::from_le_bytes(common.pick(field!(net))), field!(net_inum)) as u32;
}

/// Flags and exit code of the current task. Means something only where the current task is the owner.
#[inline(always)]
pub(crate) fn current_task() -> (u32, u32) {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    (number(task, field!(task_flags)) as u32, number(task, field!(task_exit_code)) as u32)
}
