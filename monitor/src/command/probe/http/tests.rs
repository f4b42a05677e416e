//! Requests as they are sent, and answers however they are cut, or cut wrong.

use super::*;

/// The answer when it comes in pieces of this size.
fn read(method: &str, text: &[u8], piece: usize) -> Result<Option<Head>, HttpError> {
    let mut answering = Answering::to(method);
    let mut complete = None;
    for piece in text.chunks(piece) {
        assert_eq!(complete, None, "complete before its end");
        complete = answering.take(piece)?;
    }
    Ok(complete)
}

fn complete(method: &str, text: &str) -> Head {
    let whole = read(method, text.as_bytes(), text.len()).unwrap().expect("complete");
    for piece in 1..text.len().min(9) {
        assert_eq!(read(method, text.as_bytes(), piece), Ok(Some(whole.clone())), "pieces of {piece}");
    }
    whole
}

#[test]
fn a_request_keeps_its_connection_and_names_its_sender() {
    let target = "http://[::1]:8080/a?b".parse().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        String::from_utf8(request(&target, "GET", &[])).unwrap(),
        format!(
            "GET /a?b HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: reset-monitor/{version}\r\nAccept: */*\r\n\
             Connection: keep-alive\r\n\r\n"
        )
    );
    let own = ["host: other".parse().unwrap(), "X: y".parse().unwrap()];
    let text = String::from_utf8(request(&target, "POST", &own)).unwrap();
    assert!(
        text.contains("host: other\r\nX: y\r\nContent-Length: 0\r\n") && !text.contains("Host: ["),
        "{text}"
    );
}

#[test]
fn an_answer_is_read_to_its_end_however_it_is_cut() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\n\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\nTrailer: x\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert_eq!((complete("GET", text).status, complete("GET", text).not_kept), (200, None), "{text}");
    }
    assert_eq!(complete("GET", "HTTP/1.1 204 No Content\r\n\r\n").not_kept, None);
    assert_eq!(complete("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n").not_kept, None);
    assert_eq!(complete("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").not_kept, None);
}

#[test]
fn a_server_that_keeps_no_connection_is_told_by_its_head() {
    for (text, why) in [
        ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", "Connection: close"),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.0"),
    ] {
        let not_kept = complete("GET", text).not_kept.expect(text);
        assert!(not_kept.contains(why), "{not_kept}");
    }
    let kept = "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(complete("GET", kept).not_kept, None);
    let mut endless = Answering::to("GET");
    assert_eq!(endless.take(b"HTTP/1.1 200 OK\r\n\r\nhello"), Ok(None));
    assert!(endless.not_kept().is_some_and(|head| head.not_kept.is_some()));
}

#[test]
fn what_the_server_states_and_where_it_points_to_is_kept() {
    let head = complete(
        "GET",
        "HTTP/1.1 301 Moved\r\nLocation: http://x/\u{9b}\r\nKeep-Alive: max=9, Timeout=75\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!((head.stated, head.location.as_deref()), (Some(Duration::from_secs(75)), Some("http://x/?")));
    for stated in ["timeout=x", "timeout", "max=5", "timeout=-1", ""] {
        let text = format!("HTTP/1.1 200 OK\r\nKeep-Alive: {stated}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(complete("GET", &text).stated, None, "{stated}");
    }
}

#[test]
fn garbage_is_named_and_harmless() {
    for (text, wanted) in [
        (&b"\x15\x03\x03\x00\x02\x02\x46"[..], "https://"),
        (b"SSH-2.0-x\x1b[2J\r\n", "`SSH-2.0-x?[2J??`"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "no HTTP/1"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "101"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "two different"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "as long as it says"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", "more than its answer"),
    ] {
        let error = read("GET", text, text.len()).expect_err(wanted).to_string();
        assert!(error.contains(wanted) && !error.contains('\x1b'), "{error}");
    }
    let long = [&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'a'; HEAD_BYTES]].concat();
    assert_eq!(read("GET", &long, long.len()), Err(HttpError::LongHead));
    let size =
        [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"[..], &vec![b'a'; LINE_BYTES]].concat();
    assert!(read("GET", &size, 1_000).is_err());
}
