//! The first bytes of a file that is no recording -> what it looks like, and what to do with it.

use std::fmt;

/// What a foreign file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing at all.
    Empty,
    /// A recording whose bytes were taken for text and changed.
    Mangled,
    /// A gzip archive.
    Gzip,
    /// A Zstandard archive.
    Zstd,
    /// An xz archive.
    Xz,
    /// A capture of packets.
    Pcap,
    /// JSON, as `events -o json` prints it.
    Json,
    /// Some text.
    Text,
    /// Anything else: its first bytes.
    Unknown([u8; 4]),
}

impl Look {
    /// By the first bytes of a file, all of them if it has fewer than 16.
    pub fn of(start: &[u8]) -> Self {
        let starts = |with: &[u8]| start.starts_with(with);
        if start.is_empty() {
            Self::Empty
        } else if start.windows(5).any(|window| window == b"RMREC") {
            Self::Mangled
        } else if starts(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if starts(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Self::Zstd
        } else if starts(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
            Self::Xz
        } else if is_pcap(start) {
            Self::Pcap
        } else if starts(b"{") || starts(b"[") {
            Self::Json
        } else if is_text(start) {
            Self::Text
        } else {
            Self::Unknown(std::array::from_fn(|index| start.get(index).copied().unwrap_or(0)))
        }
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Mangled => f.write_str(
                "it was one, but its bytes were changed as if they were text; copy it again, in binary mode",
            ),
            Self::Gzip => f.write_str("it is a gzip archive; try `gzip -dc FILE | reset-monitor replay -`"),
            Self::Zstd => f.write_str("it is a zstd archive; try `zstd -dc FILE | reset-monitor replay -`"),
            Self::Xz => f.write_str("it is an xz archive; try `xz -dc FILE | reset-monitor replay -`"),
            Self::Pcap => {
                f.write_str("it is a capture of packets, which has nothing of what the kernel knew")
            }
            Self::Json => {
                f.write_str("it is JSON; recordings come from `reset-monitor record`, not from `-o json`")
            }
            Self::Text => f.write_str("it is text; recordings come from `reset-monitor record`"),
            Self::Unknown(bytes) => {
                f.write_str("it begins with the bytes")?;
                bytes.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
            }
        }
    }
}

/// pcap in both byte orders, with micro- and nanoseconds; pcapng.
fn is_pcap(start: &[u8]) -> bool {
    const MAGICS: [[u8; 4]; 5] = [
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    MAGICS.iter().any(|magic| start.starts_with(magic))
}

/// Without control characters; a character may be cut at the end.
fn is_text(start: &[u8]) -> bool {
    let text = match str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.contains(|character: char| character.is_control() && !character.is_whitespace())
}
