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
/// Per-CPU note of the last socket that moved to CLOSE, and from which state.
pub const LAST_CLOSE: &str = "LAST_CLOSE";
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
