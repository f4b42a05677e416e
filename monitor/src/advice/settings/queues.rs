//! What fills up: accept queues, tables of tracked connections, orphans and memory.

use super::{Setting, Side, Software, filled, fixed};

/// Entries, as a blank.
const ENTRIES: &str = "<entries>";

/// Room for connections that wait to be accepted.
pub fn backlog(entries: Option<u64>) -> Vec<Setting> {
    let set = |software, template, place| filled(software, Side::Server, (template, ENTRIES), entries, place);
    vec![
        set(
            Software::Kernel,
            "net.core.somaxconn = {}\nnet.ipv4.tcp_max_syn_backlog = {}",
            "/etc/sysctl.d; the smaller of somaxconn and what listen() asks for counts, so restart the program",
        ),
        fixed(
            Software::Kernel,
            Side::Server,
            "net.ipv4.tcp_abort_on_overflow = 0",
            "/etc/sysctl.d; a dropped handshake is tried again, a reset one is an error for its client",
        ),
        set(Software::Nginx, "listen <port> backlog={};", "server; 511 unless set"),
        set(Software::HaProxy, "backlog {}", "frontend"),
        set(Software::Envoy, "tcp_backlog_size: {}", "listener; somaxconn unless set"),
        set(Software::Node, "server.listen({ port, backlog: {} });", "http.Server; 511 unless set"),
        set(
            Software::Tomcat,
            "acceptCount=\"{}\"",
            "Connector in server.xml; server.tomcat.accept-count in Spring Boot; 100 unless set",
        ),
    ]
}

/// Room in the table of tracked connections.
pub fn conntrack(entries: Option<u64>) -> Vec<Setting> {
    vec![filled(
        Software::Kernel,
        Side::Path,
        ("net.netfilter.nf_conntrack_max = {}", ENTRIES),
        entries,
        "/etc/sysctl.d of the host whose table is full",
    )]
}

/// Limits on sockets that nobody owns any more, and on TCP's memory.
pub fn memory(orphans: Option<u64>) -> Vec<Setting> {
    vec![
        filled(
            Software::Kernel,
            Side::Path,
            ("net.ipv4.tcp_max_orphans = {}", ENTRIES),
            orphans,
            "/etc/sysctl.d; each orphan takes up to 64 kB of kernel memory",
        ),
        fixed(
            Software::Kernel,
            Side::Path,
            "net.ipv4.tcp_mem = <low> <pressure> <high>",
            "/etc/sysctl.d, in pages; compare with `mem` in /proc/net/sockstat",
        ),
    ]
}
