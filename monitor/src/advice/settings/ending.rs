//! How a connection and a process end: request limits, early answers, shutdown, memory limits.

use super::{Setting, Side, Software, filled, fixed};

/// Requests, as a blank.
const REQUESTS: &str = "<requests>";

/// Requests per connection: the client leaves before the server sends it away.
pub fn request_limits(client: Option<u64>, server: Option<u64>) -> Vec<Setting> {
    let here =
        |software, template, place| filled(software, Side::Client, (template, REQUESTS), client, place);
    let there =
        |software, template, place| filled(software, Side::Server, (template, REQUESTS), server, place);
    vec![
        here(Software::Nginx, "keepalive_requests {};", "upstream block"),
        filled(
            Software::HaProxy,
            Side::Client,
            ("default-server max-reuse {}", REQUESTS),
            // Requests after the first.
            client.and_then(|requests| requests.checked_sub(1)),
            "backend; counts the requests after the first, and only HTTP/2 to servers is sure to respect it",
        ),
        here(
            Software::Envoy,
            "common_http_protocol_options: { max_requests_per_connection: {} }",
            "cluster: typed_extension_protocol_options, HttpProtocolOptions",
        ),
        here(Software::IngressNginx, "upstream-keepalive-requests: \"{}\"", "ConfigMap of the controller"),
        there(Software::Nginx, "keepalive_requests {};", "http, server or location, towards clients"),
        there(
            Software::Node,
            "server.maxRequestsPerSocket = {};",
            "http.Server; 0, the default, is no limit",
        ),
        there(Software::Tomcat, "maxKeepAliveRequests=\"{}\"", "Connector in server.xml; -1 is no limit"),
        there(
            Software::Tomcat,
            "server.tomcat.max-keep-alive-requests={}",
            "application.properties of Spring Boot; -1 is no limit",
        ),
        there(Software::IngressNginx, "keep-alive-requests: \"{}\"", "ConfigMap of the controller"),
    ]
}

/// An upload that is turned down: ask first, or read on before closing.
pub fn early_answers() -> Vec<Setting> {
    vec![
        fixed(
            Software::Nginx,
            Side::Server,
            "lingering_close always;",
            "http, server or location; lingering_time and lingering_timeout say for how long it reads on",
        ),
        fixed(
            Software::Go,
            Side::Client,
            "req.Header.Set(\"Expect\", \"100-continue\")",
            "request with a body; set http.Transport.ExpectContinueTimeout, too",
        ),
        fixed(
            Software::Go,
            Side::Server,
            "io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, limit))",
            "handler that answers early, before it returns",
        ),
        fixed(
            Software::Node,
            Side::Client,
            "headers: { Expect: '100-continue' }",
            "options of http.request; write the body on event 'continue'",
        ),
        fixed(
            Software::HttpClient,
            Side::Client,
            "RequestConfig.custom().setExpectContinueEnabled(true)",
            "setDefaultRequestConfig of HttpClients.custom()",
        ),
        fixed(
            Software::Tomcat,
            Side::Server,
            "maxSwallowSize=\"-1\"",
            "Connector in server.xml; server.tomcat.max-swallow-size in Spring Boot",
        ),
    ]
}

/// A process that goes answers what it has begun, and is given the time to.
pub fn drain() -> Vec<Setting> {
    let server = |software, setting, place| fixed(software, Side::Server, setting, place);
    vec![
        server(
            Software::Kubernetes,
            "terminationGracePeriodSeconds: <longer than the drain>\nlifecycle: { preStop: { sleep: { seconds: <until no new connections come> } } }",
            "pod spec; container",
        ),
        server(
            Software::Aws,
            "aws elbv2 modify-target-group-attributes --target-group-arn $ARN --attributes Key=deregistration_delay.timeout_seconds,Value=<seconds>",
            "target group; at least the longest request, and less than the target lives on",
        ),
        server(Software::Nginx, "worker_shutdown_timeout <seconds>s;", "main; end nginx with SIGQUIT"),
        server(Software::HaProxy, "hard-stop-after <seconds>s", "global; end haproxy with SIGUSR1"),
        server(
            Software::Envoy,
            "--drain-time-s <seconds>",
            "command line; POST /drain_listeners?graceful first",
        ),
        server(Software::Go, "srv.Shutdown(ctx)", "on SIGTERM; wait until it returns before main does"),
        server(
            Software::Node,
            "process.on('SIGTERM', () => { server.close(); server.closeIdleConnections(); });",
            "start of the program",
        ),
        server(
            Software::Tomcat,
            "server.shutdown=graceful\nspring.lifecycle.timeout-per-shutdown-phase=<seconds>s",
            "application.properties of Spring Boot",
        ),
    ]
}

/// Closes by FIN instead of by reset.
pub fn by_fin() -> Vec<Setting> {
    vec![
        fixed(
            Software::Nginx,
            Side::Server,
            "reset_timedout_connection off;",
            "http, server or location; `return 444` resets, too, where it is on",
        ),
        fixed(Software::HaProxy, Side::Path, "no option nolinger", "frontend, backend"),
        fixed(Software::Go, Side::Path, "conn.SetLinger(-1)", "net.TCPConn; SetLinger(0) asks for a reset"),
    ]
}

/// Memory, for what the kernel's OOM killer ends.
pub fn memory_limit() -> Vec<Setting> {
    vec![fixed(
        Software::Kubernetes,
        Side::Server,
        "resources: { limits: { memory: <above its peak> } }",
        "container; MemoryMax= in a systemd unit",
    )]
}
