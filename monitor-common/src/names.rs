//! Names of maps, globals and programs in the BPF object. The kernel cuts object names at 15 characters.

/// Ring buffer of records.
pub const EVENTS: &str = "EVENTS";
/// Hash from peer key to slot number.
pub const PEERS: &str = "PEERS";
/// Array of slots, mapped by the daemon.
pub const SLOTS: &str = "SLOTS";
/// Queue of free slot numbers for client-role peers.
pub const FREE_CLIENT: &str = "FREE_CLIENT";
/// Queue of free slot numbers for server-role peers.
pub const FREE_SERVER: &str = "FREE_SERVER";
/// Queue of free slot numbers for peers that so far only refused us.
pub const FREE_REFUSED: &str = "FREE_REFUSED";
/// Queue of free slot numbers for the networks of server-role peers beyond the budget.
pub const FREE_NETWORK: &str = "FREE_NETWORK";
/// Array of counters by local port, mapped by the daemon.
pub const PORTS: &str = "PORTS";
/// Hash from namespace to its place in `NS_TOTALS`.
pub const NAMESPACES: &str = "NAMESPACES";
/// Queue of free places in `NS_TOTALS`.
pub const FREE_NS: &str = "FREE_NS";
/// Array of namespace totals, mapped by the daemon.
pub const NS_TOTALS: &str = "NS_TOTALS";
/// Hash from listener to its place in `LISTENER_TOTALS`.
pub const LISTENERS: &str = "LISTENERS";
/// Queue of free places in `LISTENER_TOTALS`.
pub const FREE_LISTENER: &str = "FREE_LISTENER";
/// Array of listener totals, mapped by the daemon.
pub const LISTENER_TOTALS: &str = "LISTENER_TOTALS";
/// Array of per-CPU totals, mapped by the daemon.
pub const CPU_TOTALS: &str = "CPU_TOTALS";
/// Closed memory: an array of [`crate::peer::ClosedEntry`], in which the tuple's hash gives the place.
pub const CLOSED: &str = "CLOSED";
/// How quiet connections were when the peer closed them: an array of [`crate::peer::PeerFin`].
pub const PEER_FINS: &str = "PEER_FINS";
/// Received resets that wait for the decision whether they were one. Hash from `HeldKey` to record.
pub const HELD: &str = "HELD";
/// Connections whose role the socket itself does not tell.
pub const ROLES: &str = "ROLES";
/// Sockets that moved to CLOSE, and from which state.
pub const LAST_CLOSES: &str = "LAST_CLOSES";
/// Per-CPU rate limits of stories and of wake-ups.
pub const LIMITS: &str = "LIMITS";

/// Read-only global: the [`crate::layout::Layout`].
pub const LAYOUT: &str = "LAYOUT";
/// Read-only global: the [`crate::places::Places`].
pub const PLACES: &str = "PLACES";
/// Read-only global: the [`crate::settings::Settings`].
pub const SETTINGS: &str = "SETTINGS";

/// Program on `tcp:tcp_send_reset`.
pub const SEND_RESET: &str = "send_reset";
/// Program on `tcp:tcp_receive_reset`.
pub const RECEIVE_RESET: &str = "receive_reset";
/// Program on `sock:inet_sock_set_state`.
pub const SET_STATE: &str = "set_state";

/// Second program on `tcp:tcp_send_reset`: takes the events for which the kernel skipped the first.
pub const RELIEF_SEND: &str = "relief_send";
/// Second program on `tcp:tcp_receive_reset`.
pub const RELIEF_RECEIVE: &str = "relief_receive";
/// Second program on `sock:inet_sock_set_state`.
pub const RELIEF_STATE: &str = "relief_state";

/// Programs at a function's entry or return: by a trampoline (fentry), and by a probe (kprobe, kretprobe).
pub mod function {
    /// Names of the two programs that do the same, one for each way to attach.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Pair {
        /// Kernel function.
        pub function: &'static str,
        /// Program for a trampoline; empty where there is none.
        pub trampoline: &'static str,
        /// Program for a probe.
        pub probe: &'static str,
    }

    /// A reset is received on a socket.
    pub const RESET: Pair = Pair { function: "tcp_reset", trampoline: "f_reset", probe: "k_reset" };
    /// A segment is about to be judged: before 5.11 it is noted here.
    pub const VALIDATE: Pair =
        Pair { function: "tcp_validate_incoming", trampoline: "f_validate", probe: "k_validate" };
    /// An IPv4 segment met no connection.
    pub const ANSWER_V4: Pair =
        Pair { function: "tcp_v4_send_reset", trampoline: "f_answer_v4", probe: "k_answer_v4" };
    /// An IPv6 segment met no connection.
    pub const ANSWER_V6: Pair =
        Pair { function: "tcp_v6_send_reset", trampoline: "f_answer_v6", probe: "k_answer_v6" };
    /// A segment met a request socket.
    pub const REQUEST: Pair = Pair { function: "tcp_check_req", trampoline: "f_request", probe: "k_request" };
    /// A segment met a `TIME_WAIT` socket.
    pub const TIME_WAIT: Pair =
        Pair { function: "tcp_timewait_state_process", trampoline: "f_time_wait", probe: "k_time_wait" };
    /// A SYN met a listener.
    pub const SYN: Pair = Pair { function: "tcp_conn_request", trampoline: "f_syn", probe: "k_syn" };
    /// The last ACK of an IPv4 handshake.
    pub const ACK_V4: Pair =
        Pair { function: "tcp_v4_syn_recv_sock", trampoline: "f_ack_v4", probe: "k_ack_v4" };
    /// The last ACK of an IPv6 handshake.
    pub const ACK_V6: Pair =
        Pair { function: "tcp_v6_syn_recv_sock", trampoline: "f_ack_v6", probe: "k_ack_v6" };
    /// The SYN-ACK that answered our SYN.
    pub const SYN_ACK: Pair =
        Pair { function: "tcp_finish_connect", trampoline: "f_syn_ack", probe: "k_syn_ack" };
    /// netfilter answers an IPv4 segment with a reset.
    pub const REJECT_V4: Pair =
        Pair { function: "nf_send_reset", trampoline: "f_reject_v4", probe: "k_reject_v4" };
    /// netfilter answers an IPv6 segment with a reset.
    pub const REJECT_V6: Pair =
        Pair { function: "nf_send_reset6", trampoline: "f_reject_v6", probe: "k_reject_v6" };
    /// Connection tracking looked for an entry to drop; on return, 0 says that there was none.
    pub const EARLY_DROP: Pair =
        Pair { function: "early_drop", trampoline: "x_early_drop", probe: "k_early_drop" };

    /// All of them.
    pub const ALL: [Pair; 13] = [
        RESET, VALIDATE, ANSWER_V4, ANSWER_V6, REQUEST, TIME_WAIT, SYN, ACK_V4, ACK_V6, SYN_ACK, REJECT_V4,
        REJECT_V6, EARLY_DROP,
    ];
}
