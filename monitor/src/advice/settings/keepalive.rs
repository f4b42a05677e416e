//! How long an idle connection is kept: by the end that must give up first, by the end that must wait, and by devices between.

use super::{Setting, Side, Software, filled, fixed, thousandfold};

/// Seconds, as a blank.
const SECONDS: &str = "<seconds>";
/// Milliseconds, as a blank.
const MILLISECONDS: &str = "<milliseconds>";

/// The client's pool drops a connection after so many seconds of quiet.
pub fn client_gives_up(seconds: Option<u64>) -> Vec<Setting> {
    let set = |software, template, place| filled(software, Side::Client, (template, SECONDS), seconds, place);
    let milliseconds = |software, template, place| {
        filled(software, Side::Client, (template, MILLISECONDS), thousandfold(seconds), place)
    };
    vec![
        set(Software::Nginx, "keepalive_timeout {}s;", "upstream block, after `keepalive`"),
        fixed(
            Software::Nginx,
            Side::Client,
            "proxy_http_version 1.1;\nproxy_set_header Connection \"\";",
            "location with proxy_pass: without these nginx keeps no connection open",
        ),
        set(
            Software::HaProxy,
            "default-server pool-purge-delay {}s",
            "backend; purges a part of the idle connections each time, so add `retry-on` (below), or `pool-max-conn 0` to keep none",
        ),
        set(
            Software::Envoy,
            "common_http_protocol_options: { idle_timeout: {}s }",
            "cluster: typed_extension_protocol_options, HttpProtocolOptions",
        ),
        set(Software::Go, "IdleConnTimeout: {} * time.Second,", "http.Transport"),
        milliseconds(
            Software::Node,
            "new http.Agent({ keepAlive: true, timeout: {} })",
            "agent of http.request",
        ),
        milliseconds(
            Software::Node,
            "new undici.Agent({ keepAliveTimeout: {}, keepAliveMaxTimeout: {} })",
            "dispatcher of fetch",
        ),
        set(
            Software::HttpClient,
            "RequestConfig.custom().setConnectionKeepAlive(TimeValue.ofSeconds({}))",
            "setDefaultRequestConfig of HttpClients.custom(); checked before each reuse",
        ),
        set(
            Software::HttpClient,
            ".evictExpiredConnections().evictIdleConnections(TimeValue.ofSeconds({}))",
            "HttpClients.custom(); looks from time to time only",
        ),
        fixed(
            Software::HttpClient,
            Side::Client,
            "ConnectionConfig.custom().setValidateAfterInactivity(TimeValue.ZERO_MILLISECONDS)",
            "setDefaultConnectionConfig of the pool; sees a FIN that has arrived, not one on its way",
        ),
        set(
            Software::IngressNginx,
            "upstream-keepalive-timeout: \"{}\"",
            "ConfigMap of the controller; it is the client of the pods",
        ),
    ]
}

/// The server keeps a quiet connection for so many seconds.
pub fn server_waits(seconds: Option<u64>) -> Vec<Setting> {
    let set = |software, template, place| filled(software, Side::Server, (template, SECONDS), seconds, place);
    let milliseconds = |template: &str, value: Option<u64>| {
        let value = thousandfold(value);
        filled(Software::Node, Side::Server, (template, MILLISECONDS), value, "http.Server")
    };
    vec![
        set(Software::Nginx, "keepalive_timeout {}s;", "http, server or location, towards clients"),
        set(
            Software::HaProxy,
            "timeout http-keep-alive {}s\ntimeout client {}s",
            "frontend; the smaller of the two ends a quiet connection",
        ),
        set(
            Software::Envoy,
            "common_http_protocol_options: { idle_timeout: {}s }",
            "HttpConnectionManager of the listener",
        ),
        set(Software::Go, "IdleTimeout: {} * time.Second,", "http.Server"),
        milliseconds("server.keepAliveTimeout = {};", seconds),
        // A headersTimeout below it ended idle connections early on older versions.
        milliseconds("server.headersTimeout = {};", seconds.map(|seconds| seconds.saturating_add(1))),
        filled(
            Software::Tomcat,
            Side::Server,
            ("keepAliveTimeout=\"{}\"", MILLISECONDS),
            thousandfold(seconds),
            "Connector in server.xml",
        ),
        set(
            Software::Tomcat,
            "server.tomcat.keep-alive-timeout={}s",
            "application.properties of Spring Boot",
        ),
        set(
            Software::Aws,
            "aws elbv2 modify-load-balancer-attributes --load-balancer-arn $ARN --attributes Key=idle_timeout.timeout_seconds,Value={}",
            "where an ALB is the server; where it is the client of this target, the target must wait longer than this attribute says",
        ),
        set(Software::IngressNginx, "keep-alive: \"{}\"", "ConfigMap of the controller, towards clients"),
    ]
}

/// Probes every so many seconds keep state alive on the way. They work on sockets with `SO_KEEPALIVE` only.
pub fn probes(seconds: Option<u64>) -> Vec<Setting> {
    let path = |software, template, place| filled(software, Side::Path, (template, SECONDS), seconds, place);
    vec![
        path(
            Software::Kernel,
            "net.ipv4.tcp_keepalive_time = {}",
            "/etc/sysctl.d, at either end; with tcp_keepalive_intvl and tcp_keepalive_probes for how soon a dead peer is noticed",
        ),
        fixed(
            Software::Nginx,
            Side::Client,
            "proxy_socket_keepalive on;",
            "location with proxy_pass; towards clients `listen ... so_keepalive=on`",
        ),
        fixed(Software::HaProxy, Side::Path, "option clitcpka\noption srvtcpka", "frontend; backend"),
        path(
            Software::Envoy,
            "upstream_connection_options: { tcp_keepalive: { keepalive_time: {} } }",
            "cluster",
        ),
        path(Software::Go, "KeepAlive: {} * time.Second,", "net.Dialer, net.ListenConfig"),
        filled(
            Software::Node,
            Side::Path,
            ("socket.setKeepAlive(true, {});", MILLISECONDS),
            thousandfold(seconds),
            "net.Socket",
        ),
        fixed(
            Software::HttpClient,
            Side::Client,
            "SocketConfig.custom().setSoKeepAlive(true)",
            "setDefaultSocketConfig of the pool; the time is the kernel's",
        ),
    ]
}

/// State on the way is kept for so many seconds.
pub fn state_on_the_way(seconds: Option<u64>) -> Vec<Setting> {
    let path = |software, template, place| filled(software, Side::Path, (template, SECONDS), seconds, place);
    vec![
        path(
            Software::Kernel,
            "net.netfilter.nf_conntrack_tcp_timeout_established = {}",
            "/etc/sysctl.d of the host that does NAT or filters with state",
        ),
        path(
            Software::Aws,
            "aws elbv2 modify-listener-attributes --listener-arn $ARN --attributes Key=tcp.idle_timeout.seconds,Value={}",
            "TCP listener of an NLB, 60 to 6000; 350 unless set, and older or other listeners cannot change it: use probes",
        ),
    ]
}
