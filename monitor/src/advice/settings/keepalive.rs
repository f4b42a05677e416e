//! How long an idle connection is kept: by the end that must give up first, by the end that must wait, and by devices between.

use std::ops::RangeInclusive;

use super::{Setting, Side, Software, filled, fixed, thousandfold};

/// Seconds, as a blank.
const SECONDS: &str = "<seconds>";
/// Milliseconds, as a blank.
const MILLISECONDS: &str = "<milliseconds>";
/// What an Application Load Balancer takes for its idle timeout.
const ALB_SECONDS: RangeInclusive<u64> = 1..=4_000;
/// The same of a Network Load Balancer's TCP listener.
const NLB_SECONDS: RangeInclusive<u64> = 60..=6_000;

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
            "location with proxy_pass: without these nginx before 1.29.7 keeps no connection open",
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
            "setDefaultRequestConfig of HttpClients.custom(); where the server names a time in `Keep-Alive: timeout=`, that one counts, and a ConnectionKeepAliveStrategy must cap it",
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
        filled(
            Software::Aws,
            Side::Server,
            (
                "aws elbv2 modify-load-balancer-attributes --load-balancer-arn $ARN --attributes Key=idle_timeout.timeout_seconds,Value={}",
                SECONDS,
            ),
            seconds.filter(|seconds| ALB_SECONDS.contains(seconds)),
            "where an ALB is the server, 1 to 4000; where it is the client of this target, the target must wait longer than this attribute says",
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
            "net.ipv4.tcp_keepalive_time = {}\nnet.ipv4.tcp_keepalive_intvl = {}",
            "/etc/sysctl.d, at either end; the next probe comes after the second number, 75 unless set, whether or not the first was answered",
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
            "upstream_connection_options: { tcp_keepalive: { keepalive_time: {}, keepalive_interval: {} } }",
            "cluster",
        ),
        path(
            Software::Go,
            "KeepAlive: {} * time.Second,",
            "net.Dialer, net.ListenConfig; both the first probe and the interval",
        ),
        filled(
            Software::Node,
            Side::Path,
            ("socket.setKeepAlive(true, {});", MILLISECONDS),
            thousandfold(seconds),
            "net.Socket; the interval is the kernel's",
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
    vec![
        fixed(
            Software::Kernel,
            Side::Path,
            "net.netfilter.nf_conntrack_tcp_timeout_established = <seconds>",
            "/etc/sysctl.d of the host that does NAT or filters with state, and more than now; 432000 unless set",
        ),
        filled(
            Software::Aws,
            Side::Path,
            (
                "aws elbv2 modify-listener-attributes --listener-arn $ARN --attributes Key=tcp.idle_timeout.seconds,Value={}",
                SECONDS,
            ),
            seconds.filter(|seconds| NLB_SECONDS.contains(seconds)),
            "TCP listener of an NLB, 60 to 6000; 350 unless set, and older or other listeners cannot change it: use probes",
        ),
    ]
}
