//! Where the kernel keeps the fields we read.
//!
//! Rust emits no CO-RE relocations, so the daemon resolves every field from the running kernel's BTF at start and
//! hands the result over as one read-only global. The verifier then sees constants. No offset is written down
//! anywhere in this repository but in test expectations.

/// One field's place in its struct. All zero means that the running kernel has no such field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Field {
    /// Byte offset of the first byte to load, from the start of the outer struct.
    pub offset: u16,
    /// Bytes to load: 1, 2, 4 or 8 for a number. A struct or array has its whole size. 0: absent.
    pub size: u16,
    /// For a bitfield, how far to shift the little-endian load right; else 0.
    pub shift: u8,
    /// For a bitfield, its width; else 0.
    pub bits: u8,
    /// Always zero.
    pub reserved: u16,
}

impl Field {
    /// Whether the running kernel has the field.
    pub const fn is_present(self) -> bool {
        self.size != 0
    }

    /// The bytes that the kernel side reads, in its (little-endian) order.
    pub const fn to_bytes(self) -> [u8; 8] {
        let offset = self.offset.to_le_bytes();
        let size = self.size.to_le_bytes();
        [offset[0], offset[1], size[0], size[1], self.shift, self.bits, 0, 0]
    }
}

/// What a field is for: without a required one nothing useful can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The programs cannot count without it.
    Required,
    /// Without it, part of the story is unknown.
    Optional,
}

/// Where to look a field up: `path` is a chain of member names, dots between them, through structs held by
/// value and anonymous unions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldPath {
    /// The outer struct's BTF name.
    pub outer: &'static str,
    /// Member chain from there.
    pub path: &'static str,
    /// Whether we can do without.
    pub need: Need,
}

macro_rules! layout {
    ($($(#[$doc:meta])* $name:ident: $outer:literal $path:literal $need:ident,)*) => {
        /// Every field the kernel side reads.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(C)]
        pub struct Layout {
            $($(#[$doc])* pub $name: Field,)*
        }

        /// Where each field of [`Layout`] comes from, in the order of its fields.
        pub const FIELD_PATHS: &[FieldPath] =
            &[$(FieldPath { outer: $outer, path: $path, need: Need::$need },)*];

        impl Layout {
            /// The fields, in the order of [`FIELD_PATHS`].
            pub const fn fields(&self) -> [Field; FIELD_COUNT] {
                [$(self.$name,)*]
            }

            /// The layout made of fields in the order of [`FIELD_PATHS`].
            pub const fn from_fields(fields: [Field; FIELD_COUNT]) -> Self {
                let mut next = 0;
                $(let $name = fields[next]; next += 1;)*
                assert!(next == FIELD_COUNT);
                Self { $($name,)* }
            }
        }
    };
}

/// Number of fields in a [`Layout`].
pub const FIELD_COUNT: usize = FIELD_PATHS.len();

const _: () = assert!(size_of::<Layout>() == FIELD_COUNT * size_of::<Field>());

layout! {
    /// The part that full sockets, `TIME_WAIT` and request sockets share; it is read in one go.
    sock_common: "sock" "__sk_common" Required,
    /// Remote IPv4 address, network order.
    daddr: "sock" "__sk_common.skc_daddr" Required,
    /// Local IPv4 address, network order.
    rcv_saddr: "sock" "__sk_common.skc_rcv_saddr" Required,
    /// Remote port, network order.
    dport: "sock" "__sk_common.skc_dport" Required,
    /// Local port, host order; 0 after the socket was unbound, which CLOSE does first.
    num: "sock" "__sk_common.skc_num" Required,
    /// `AF_INET` or `AF_INET6`.
    family: "sock" "__sk_common.skc_family" Required,
    /// TCP state.
    state: "sock" "__sk_common.skc_state" Required,
    /// Pointer to the protocol's functions, the same for all sockets of a protocol and family.
    prot: "sock" "__sk_common.skc_prot" Required,
    /// Pointer to the network namespace.
    net: "sock" "__sk_common.skc_net.net" Required,
    /// Remote IPv6 address.
    v6_daddr: "sock" "__sk_common.skc_v6_daddr" Optional,
    /// Local IPv6 address.
    v6_rcv_saddr: "sock" "__sk_common.skc_v6_rcv_saddr" Optional,
    /// `SOCK_DEAD`, `SOCK_DONE`, `SOCK_LINGER`, ... as bits.
    sk_flags: "sock" "__sk_common.skc_flags" Required,
    /// `IPPROTO_TCP`, or `IPPROTO_MPTCP` for the parent of subflows.
    sk_protocol: "sock" "sk_protocol" Required,
    /// `RCV_SHUTDOWN` and `SEND_SHUTDOWN`.
    sk_shutdown: "sock" "sk_shutdown" Required,
    /// `SO_LINGER`'s time in jiffies.
    sk_lingertime: "sock" "sk_lingertime" Required,
    /// Pointer to the `struct socket`, null for an orphan.
    sk_socket: "sock" "sk_socket" Optional,
    /// Connections waiting to be accepted.
    sk_ack_backlog: "sock" "sk_ack_backlog" Optional,
    /// The listener's limit for them.
    sk_max_ack_backlog: "sock" "sk_max_ack_backlog" Optional,
    /// Pointer to the socket's cgroup, from 5.15 on.
    sk_cgroup: "sock" "sk_cgrp_data.cgroup" Optional,
    /// The same before: a tagged value, a pointer when its two low bits are 0.
    sk_cgroup_val: "sock" "sk_cgrp_data.val" Optional,
    /// The cgroup's kernfs node.
    cgroup_kn: "cgroup" "kn" Optional,
    /// The id by which cgroupfs shows it (its inode number).
    kernfs_id: "kernfs_node" "id" Optional,
    /// The namespace's inode number.
    net_inum: "net" "ns.inum" Required,
    /// Local port, network order; outlives `num`.
    inet_sport: "inet_sock" "inet_sport" Required,
    /// TTL of the handshake's last ACK on an accepted IPv4 socket, 1 on a client.
    mc_ttl: "inet_sock" "mc_ttl" Required,
    /// Pointer to the IPv6 part of a socket.
    pinet6: "inet_sock" "pinet6" Optional,
    /// Hop limit of the handshake's last ACK on an accepted IPv6 socket, 1 on a client.
    mcast_hops: "ipv6_pinfo" "mcast_hops" Optional,
    /// Jiffies when the peer's last data was accepted.
    lrcvtime: "inet_connection_sock" "icsk_ack.lrcvtime" Required,
    /// Keep-alive or zero-window probes without an answer.
    probes_out: "inet_connection_sock" "icsk_probes_out" Required,
    /// Jiffies when data was last sent.
    lsndtime: "tcp_sock" "lsndtime" Required,
    /// Jiffies when an ACK was last processed.
    rcv_tstamp: "tcp_sock" "rcv_tstamp" Required,
    /// Segments with data that came in.
    data_segs_in: "tcp_sock" "data_segs_in" Required,
    /// Segments with data that went out, retransmissions included.
    data_segs_out: "tcp_sock" "data_segs_out" Required,
    /// Payload bytes received in order.
    bytes_received: "tcp_sock" "bytes_received" Optional,
    /// Payload bytes the peer acknowledged.
    bytes_acked: "tcp_sock" "bytes_acked" Optional,
    /// Smoothed round-trip time, eighths of a microsecond.
    srtt_us: "tcp_sock" "srtt_us" Optional,
    /// Next sequence number expected.
    rcv_nxt: "tcp_sock" "rcv_nxt" Required,
    /// Head of what the application has not read.
    copied_seq: "tcp_sock" "copied_seq" Required,
    /// Next sequence number to send.
    snd_nxt: "tcp_sock" "snd_nxt" Required,
    /// First sequence number not acknowledged.
    snd_una: "tcp_sock" "snd_una" Required,
    /// Whether it is a subflow of MPTCP.
    is_mptcp: "tcp_sock" "is_mptcp" Optional,
    /// Next sequence number that a `TIME_WAIT` socket expects.
    tw_rcv_nxt: "inet_timewait_sock" "__tw_common.skc_tw_rcv_nxt" Optional,
    /// How far beyond it a segment may begin.
    tw_rcv_wnd: "tcp_timewait_sock" "tw_rcv_wnd" Optional,
    /// `FIN_WAIT2` or `TIME_WAIT`.
    tw_substate: "inet_timewait_sock" "tw_substate" Optional,
    /// Next sequence number that a request socket expects.
    request_rcv_nxt: "tcp_request_sock" "rcv_nxt" Optional,
    /// How far beyond it a segment may begin.
    request_rcv_wnd: "request_sock" "__req_common.skc_rcv_wnd" Optional,
    /// Requests that wait for the last ACK of their handshake.
    request_queue: "inet_connection_sock" "icsk_accept_queue.qlen" Optional,
    /// Whether SYN cookies take over from a full request queue.
    tcp_syncookies: "net" "ipv4.sysctl_tcp_syncookies" Optional,
    /// Inode number of the file behind a `struct socket`, with which `struct socket_alloc` begins.
    socket_inode: "socket_alloc" "vfs_inode.i_ino" Optional,
    /// Start of the packet buffer.
    skb_head: "sk_buff" "head" Required,
    /// IP header's offset from `head`.
    network_header: "sk_buff" "network_header" Required,
    /// TCP header's offset from `head`.
    transport_header: "sk_buff" "transport_header" Required,
    /// `ETH_P_IP` or `ETH_P_IPV6`, network order.
    skb_protocol: "sk_buff" "protocol" Required,
    /// Index of the interface the packet came in by.
    skb_iif: "sk_buff" "skb_iif" Optional,
    /// The device; null once the packet is queued to a socket.
    skb_dev: "sk_buff" "dev" Required,
    /// Start of the protocol's control block, a `struct tcp_skb_cb` here.
    skb_cb: "sk_buff" "cb" Required,
    /// The device's network namespace.
    dev_net: "net_device" "nd_net.net" Required,
    /// Pointer to the route, with flags in its lowest bit.
    skb_dst: "sk_buff" "_skb_refdst" Optional,
    /// Kind of an IPv4 route: to this host, another, ...
    route_type: "rtable" "rt_type" Optional,
    /// Flags of an IPv6 route, `RTF_LOCAL` among them.
    route6_flags: "rt6_info" "rt6i_flags" Optional,
    /// First sequence number of the segment.
    cb_seq: "tcp_skb_cb" "seq" Required,
    /// Sequence number after it; SYN and FIN take one each.
    cb_end_seq: "tcp_skb_cb" "end_seq" Required,
    /// The TCP header's flag byte, in the low 8 bits.
    cb_tcp_flags: "tcp_skb_cb" "tcp_flags" Required,
    /// `PF_EXITING` and other task flags.
    task_flags: "task_struct" "flags" Optional,
    /// Exit code and signal of an exiting task.
    task_exit_code: "task_struct" "exit_code" Optional,
    /// Pointer to what all threads of a process share.
    task_signal: "task_struct" "signal" Optional,
    /// The memory that the OOM killer wants back from the process; null for all others.
    signal_oom_mm: "signal_struct" "oom_mm" Optional,
}
