//! Once more, if the request may be repeated: the race stays, however well timeouts are aligned.

use super::{Setting, Side, Software, fixed};

/// One retry of idempotent requests.
pub fn once() -> Vec<Setting> {
    let client = |software, setting, place| fixed(software, Side::Client, setting, place);
    vec![
        client(
            Software::Nginx,
            "proxy_next_upstream error timeout;\nproxy_next_upstream_tries 2;",
            "location with proxy_pass and more than one server; leave `non_idempotent` out",
        ),
        client(
            Software::HaProxy,
            "retry-on conn-failure empty-response\nretries 1\noption redispatch\n\
             http-request disable-l7-retry unless METH_GET",
            "backend; the last line keeps all but GET and HEAD from being sent twice",
        ),
        client(
            Software::Envoy,
            "retry_policy: { retry_on: \"connect-failure,refused-stream,reset\", num_retries: 1 }",
            "route of idempotent requests alone: the last word retries what may have reached the peer, too",
        ),
        client(
            Software::Go,
            "req.Header.Set(\"Idempotency-Key\", key)",
            "http.Transport retries GET, HEAD, OPTIONS and TRACE by itself on a reused connection, others with this header only",
        ),
        client(
            Software::HttpClient,
            ".setRetryStrategy(new DefaultHttpRequestRetryStrategy(1, TimeValue.ZERO_MILLISECONDS))",
            "HttpClients.custom(); idempotent methods only",
        ),
    ]
}
