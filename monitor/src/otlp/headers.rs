//! The file with headers of requests: a line `name: value` each. They may be secrets, so no message repeats a value.

use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Those that are ours to set. `Authorization` may come from the file, unless a token or password does.
const OURS: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, USER_AGENT];

/// Reads it; the error says which line is wrong, and how.
pub(super) fn parse(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| format!("line {number}: {what}");
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("it is not `name: value`"))?;
        let name: HeaderName = name.trim().parse().or(Err(wrong("this is no name of a header")))?;
        let mut value = HeaderValue::try_from(value.trim()).or(Err(wrong("this value cannot be sent")))?;
        if OURS.contains(&name) {
            return Err(wrong(&format!("`{name}` is set by reset-monitor")));
        }
        value.set_sensitive(true);
        if headers.insert(name, value).is_some() {
            return Err(wrong("this header is there twice"));
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_line_is_a_header_and_notes_are_left_out() {
        let headers = parse("# of the tenant\nx-scope-orgid: a:b\n\n  Api-Key:  s3cret \n").unwrap();
        assert_eq!(
            (headers.len(), &headers["x-scope-orgid"], &headers["api-key"]),
            (2, &"a:b".parse().unwrap(), &"s3cret".parse().unwrap())
        );
        assert!(!format!("{headers:?}").contains("s3cret"));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_sent_names_the_line_and_no_secret() {
        for (text, wanted) in [
            ("a: 1\ns3cret\n", "line 2: it is not `name: value`"),
            ("a b: s3cret\n", "line 1: this is no name"),
            ("a: s3cret\u{7f}x\n", "line 1: this value cannot be sent"),
            ("Host: s3cret\n", "line 1: `host` is set by reset-monitor"),
            ("a: s3cret\nA: s3cret\n", "line 2: this header is there twice"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(wanted) && !error.contains("s3cret"), "{text}: {error}");
        }
    }
}
