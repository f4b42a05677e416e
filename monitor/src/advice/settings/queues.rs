//! What fills up: accept queues, tables of tracked connections, orphans and memory.

use super::{Setting, Side, Software, filled, fixed};

/// Entries, as a blank.
const ENTRIES: &str = "<entries>";

/// Room for connections that wait to be accepted. What is no more than a program has anyway is no advice, and what the whole host has
/// is not known here.
pub fn backlog(entries: Option<u64>) -> Vec<Setting> {
    let above = |usual, software, template, place| {
        let more = entries.filter(|entries| *entries > usual);
        filled(software, Side::Server, (template, ENTRIES), more, place)
    };
    let set = |software, template, place| above(0, software, template, place);
    vec![
        fixed(
            Software::Kernel,
            Side::Server,
            "net.core.somaxconn = <entries>\nnet.ipv4.tcp_max_syn_backlog = <entries>",
            "/etc/sysctl.d, and never less than now; the smaller of somaxconn and what listen() asks for counts, so restart the program",
        ),
        fixed(
            Software::Kernel,
            Side::Server,
            "net.ipv4.tcp_abort_on_overflow = 0",
            "/etc/sysctl.d; a dropped handshake is tried again, a reset one is an error for its client",
        ),
        above(511, Software::Nginx, "listen <port> backlog={};", "server; 511 unless set"),
        set(Software::HaProxy, "backlog {}", "frontend"),
        set(Software::Envoy, "tcp_backlog_size: {}", "listener; somaxconn unless set"),
        above(511, Software::Node, "server.listen({ port, backlog: {} });", "http.Server; 511 unless set"),
        above(
            100,
            Software::Tomcat,
            "acceptCount=\"{}\"",
            "Connector in server.xml; server.tomcat.accept-count in Spring Boot; 100 unless set",
        ),
    ]
}

/// Room in the table of tracked connections.
pub fn conntrack(limit: u64) -> Vec<Setting> {
    vec![filled(
        Software::Kernel,
        Side::Path,
        ("net.netfilter.nf_conntrack_max = {}", ENTRIES),
        Some(limit.saturating_mul(2)),
        "/etc/sysctl.d of this host: twice the limit",
    )]
}

/// Limits on sockets that nobody owns any more, and on TCP's memory.
pub fn memory() -> Vec<Setting> {
    vec![
        fixed(
            Software::Kernel,
            Side::Path,
            "net.ipv4.tcp_max_orphans = <entries>",
            "/etc/sysctl.d, and more than now; each orphan takes up to 64 kB of kernel memory",
        ),
        fixed(
            Software::Kernel,
            Side::Path,
            "net.ipv4.tcp_mem = <low> <pressure> <high>",
            "/etc/sysctl.d, in pages; compare with `mem` in /proc/net/sockstat",
        ),
    ]
}
