//! Times, sweeps, payloads and headers as a person types them. Pure.

use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

/// Most connections at once: below the usual limit of 1,024 open files.
pub const MOST: u32 = 1_000;
/// Longest time that can be asked for.
const LONGEST: Duration = Duration::from_hours(7 * 24);
/// Steps of a sweep that names none.
const STEPS: u32 = 20;

/// A time such as `59.9s`, `500ms`, `1m30s`, or a number of seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is no time: give one such as 59.9s, 500ms, 1m30s, or a number of seconds");
    let text = text.trim();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let time = if is_number {
        text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    } else {
        text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok())
    };
    let time = time.ok_or_else(wrong)?;
    if time > LONGEST {
        Err(format!("{text} is too long: at most {} h", LONGEST.as_secs() / 3_600))
    } else {
        Ok(time)
    }
}

/// The same, and some of it.
pub fn some_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("give a time above 0".to_owned()),
        time => Ok(time),
    }
}

/// Idle times from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    from: Duration,
    to: Duration,
}

impl FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text
            .split_once("..")
            .ok_or_else(|| format!("`{text}` is no sweep: give one such as 55s..65s"))?;
        let (from, to) = (duration(from)?, duration(to)?);
        if from < to {
            Ok(Self { from, to })
        } else {
            Err("a sweep goes from a time to a longer one".to_owned())
        }
    }
}

impl Sweep {
    /// Each idle time, both ends among them, so many connections for each.
    pub fn times(self, step: Option<Duration>, each: u32) -> Result<Vec<Duration>, String> {
        let Self { from, to } = self;
        let width = to.saturating_sub(from);
        let step = step.unwrap_or(width / STEPS).max(Duration::from_nanos(1));
        let (steps, rest) = (width.as_nanos() / step.as_nanos(), width.as_nanos() % step.as_nanos());
        // A step that does not fit leaves the end out by more than rounding does.
        let times = steps + 1 + u128::from(rest > step.as_nanos() / 100);
        let many = times * u128::from(each);
        if many > u128::from(MOST) {
            return Err(format!(
                "this sweep takes {many} connections, and {MOST} is the most: give a longer --step or less --connections"
            ));
        }
        let before = u32::try_from(times - 1).unwrap_or(MOST);
        let times = (0..before).map(|number| from + step * number).chain([to]);
        Ok(times.flat_map(|time| std::iter::repeat_n(time, each as usize)).collect())
    }
}

/// Bytes to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(pub Vec<u8>);

impl FromStr for Payload {
    type Err = String;

    /// Text with `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (mut bytes, mut rest) = (Vec::new(), text);
        while let Some((plain, escape)) = rest.split_once('\\') {
            bytes.extend(plain.bytes());
            let mut letters = escape.chars();
            bytes.push(match letters.next() {
                Some('r') => b'\r',
                Some('n') => b'\n',
                Some('t') => b'\t',
                Some('0') => 0,
                Some('\\') => b'\\',
                Some('x') => {
                    let digits = letters
                        .as_str()
                        .get(..2)
                        .filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
                    let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                    letters = letters.as_str().get(2..).unwrap_or_default().chars();
                    byte.ok_or("two digits follow \\x, such as \\x0a")?
                }
                Some(other) => {
                    return Err(format!("`\\{other}` is no escape: use \\r \\n \\t \\0 \\\\ or \\xNN"));
                }
                None => return Err("a single `\\` at the end: write \\\\".to_owned()),
            });
            rest = letters.as_str();
        }
        bytes.extend(rest.bytes());
        if bytes.is_empty() { Err("nothing to send: leave --send out".to_owned()) } else { Ok(Self(bytes)) }
    }
}

/// A header line, `Name: value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no header: give one such as 'Accept: text/html'");
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        let value = value.trim();
        if !is_token(name) || value.chars().any(char::is_control) {
            return Err(wrong());
        }
        match name.to_ascii_lowercase().as_str() {
            "connection" | "content-length" | "transfer-encoding" | "expect" | "upgrade" => Err(format!(
                "{name} is not for choosing here: the request has no body and keeps its connection"
            )),
            _ => Ok(Self { name: name.to_owned(), value: value.to_owned() }),
        }
    }
}

/// An HTTP method.
pub fn method(text: &str) -> Result<String, String> {
    match text {
        "CONNECT" => Err("CONNECT makes a tunnel, which has no answers to wait for".to_owned()),
        text if is_token(text) => Ok(text.to_owned()),
        _ => Err("give a method such as GET or HEAD".to_owned()),
    }
}

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("59.9s", 59_900),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("60", 60_000),
            ("0.25", 250),
            ("0", 0),
            ("2h", 7_200_000),
        ] {
            assert_eq!(duration(text).map(|time| time.as_millis()), Ok(milliseconds), "{text}");
        }
        for text in
            ["", "soon", "-1s", "1.2.3", "1e9", "NaN", "inf", ".", "9999999999999999999999", "8days", "169h"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(some_duration("0s").is_err());
    }

    #[test]
    fn a_sweep_has_both_ends_and_a_bound() {
        let times = |text: &str, step: Option<u64>, each| {
            let times = text.parse::<Sweep>()?.times(step.map(Duration::from_millis), each)?;
            Ok::<_, String>(times.iter().map(Duration::as_millis).collect::<Vec<_>>())
        };
        assert_eq!(times("1s..2s", Some(500), 1), Ok(vec![1_000, 1_500, 2_000]));
        assert_eq!(times("1..1.5", Some(400), 2), Ok(vec![1_000, 1_000, 1_400, 1_400, 1_500, 1_500]));
        assert_eq!(
            times("55s..65s", None, 1).map(|times| (times.len(), times[0], times[20])),
            Ok((21, 55_000, 65_000))
        );
        assert_eq!(times("1s..2s", Some(9_000), 1), Ok(vec![1_000, 2_000]));
        for (text, step) in [("2s..1s", 100), ("1s..1s", 100), ("1s", 100), ("1s..", 100), ("0..100h", 1)] {
            assert!(times(text, Some(step), 1).is_err(), "{text}");
        }
        assert!(times("0s..1s", Some(1), 1).unwrap_err().contains("1001 connections"));
        assert!("0..1ns".parse::<Sweep>().unwrap().times(None, 1).unwrap().len() <= 21);
    }

    #[test]
    fn escapes_become_bytes_and_others_are_refused() {
        let read = |text: &str| text.parse::<Payload>().map(|Payload(bytes)| bytes);
        assert_eq!(read(r"PING\r\n").unwrap(), b"PING\r\n");
        assert_eq!(read(r"\x00\xfFz\t\0\\n").unwrap(), b"\x00\xffz\t\0\\n");
        assert_eq!(read("\u{e9}").unwrap(), "\u{e9}".as_bytes());
        for text in ["", r"\", r"\q", r"\x1", r"\xg0", r"\x+1", "\\x\u{e9}", "\\\u{e9}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn headers_cannot_break_out_of_their_line_or_break_the_measurement() {
        let read = |text: &str| text.parse::<Header>().map(|header| (header.name, header.value));
        assert_eq!(read("Host:  a "), Ok(("Host".to_owned(), "a".to_owned())));
        assert_eq!(read("X-Empty:"), Ok(("X-Empty".to_owned(), String::new())));
        for text in ["nothing", ": x", "A B: x", "A: b\r\nC: d", "Connection: close", "Content-Length: 5"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(method("HEAD").as_deref(), Ok("HEAD"));
        assert!(method("GET /").is_err() && method("CONNECT").is_err() && method("").is_err());
    }
}
