//! The archive format of an initramfs (`newc`, kernel: Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
/// The name that ends an archive.
const END: &str = "TRAILER!!!";

/// An archive that grows in memory.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<String>,
}

impl Archive {
    /// A file that everybody may execute, with the directories it lies in.
    pub(super) fn file(&mut self, path: &Path, content: &[u8]) -> Result<()> {
        self.entry(path, PROGRAM, content)
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &Path, target: &str) -> Result<()> {
        self.entry(path, LINK, target.as_bytes())
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        let mut above: Vec<_> = path.ancestors().skip(1).filter(|above| above.parent().is_some()).collect();
        above.reverse();
        for directory in above {
            let name = text(directory)?;
            if self.directories.insert(name.to_owned()) {
                self.write(name, DIRECTORY, &[])?;
            }
        }
        self.write(text(path)?, mode, content)
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.write(END, 0, &[])?;
        Ok(self.bytes)
    }

    fn write(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entries += 1;
        let (size, name_size) = (u32::try_from(content.len())?, u32::try_from(name.len() + 1)?);
        // Number, mode, user, group, links, time, size, four of devices, size of the name, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        self.bytes.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
        Ok(())
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_header_of_110_bytes_a_name_and_content_in_words() {
        let mut archive = Archive::default();
        archive.file(Path::new("a/b"), b"hello").unwrap();
        archive.link(Path::new("a/c"), "b").unwrap();
        let bytes = archive.finish().unwrap();
        let names: Vec<_> = bytes.windows(6).enumerate().filter(|(_, six)| six == b"070701").collect();
        // a, a/b, a/c and the end: directories come once, and first.
        let starts: Vec<_> = names.into_iter().map(|(start, _)| start).collect();
        assert_eq!(starts, [0, 112, 236, 356]);
        let field = |start: usize, number: usize| &bytes[start + 6 + 8 * number..][..8];
        assert_eq!(field(0, 1), b"000041ed");
        assert_eq!(
            (field(112, 1), field(112, 6), field(112, 11)),
            (&b"000081ed"[..], &b"00000005"[..], &b"00000004"[..])
        );
        assert_eq!(&bytes[112 + 110..][..11], b"a/b\0\0\0hello");
        assert_eq!(bytes.len() % 4, 0);
    }
}
