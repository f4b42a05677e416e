//! A reader of BTF, the kernel's description of its own types, for the few questions that we have.
//!
//! Raw bytes in, byte offsets, enumeration values and parameter counts out. One pass over the types notes where
//! each one starts and indexes the named ones; everything else is decoded when asked for. The bytes may come from
//! anywhere: whatever they hold, the reader answers or refuses, it never panics, loops without end or allocates
//! more than a small multiple of their length. No I/O here: the caller reads `/sys/kernel/btf/vmlinux`.
//!
//! Format: <https://docs.kernel.org/bpf/btf.html> and, for the layout section and the wider `info` word,
//! `include/uapi/linux/btf.h` of Linux 7.2.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use thiserror::Error;

use self::raw::{Kind, Record, Sections};

mod functions;
mod member;
mod raw;
#[cfg(test)]
mod tests;

/// Longest name we read. The kernel's longest symbol is 512 bytes with its terminator (`KSYM_NAME_LEN`); a limit
/// keeps overlapping strings in hostile input from making the work quadratic.
const MAX_NAME: usize = 512;

/// Longest chain of typedefs and qualifiers we follow. Real ones have fewer than ten links.
const MAX_CHAIN: usize = 32;

/// Most values we read of one enumeration. The largest of ours (`skb_drop_reason`) has 130.
const MAX_ENUMERATORS: usize = 4096;

/// Why BTF could not be read. A type or member that is merely not there is `None`, not an error.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BtfError {
    /// The magic number or the version is not BTF's.
    #[error("read BTF header: not BTF version 1")]
    NotBtf,
    /// The magic number is byte-swapped.
    #[error("read BTF header: big-endian BTF, only little-endian kernels are supported")]
    BigEndian,
    /// Something reaches past the end of its section, or the section past the end of the bytes.
    #[error("read BTF {what}: ends early at byte {at}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Offset from the start of the section, or of the bytes for the header.
        at: usize,
    },
    /// A kind we do not know and that the layout section does not describe: its length is unknown.
    #[error("read BTF type {id}: unknown kind {kind}")]
    UnknownKind {
        /// Number of the kind.
        kind: u8,
        /// Number of the type.
        id: u32,
    },
    /// A type refers to one that does not exist.
    #[error("follow BTF type {id}: no such type")]
    NoType {
        /// Number of the type.
        id: u32,
    },
    /// A member is of a type that has no size, such as a function.
    #[error("measure BTF type {id}: it has no size")]
    NoSize {
        /// Number of the type.
        id: u32,
    },
    /// Types refer to each other in a circle, or nest deeper than any real kernel's.
    #[error("follow BTF type {id}: nested too deeply, or in a circle")]
    TooDeep {
        /// Number of the type where we stopped.
        id: u32,
    },
    /// The member is neither 1, 2, 4 nor 8 bytes of number nor an aggregate, or begins past 64 KiB.
    #[error("place BTF member: bit {bit}, {bits} bits cannot be loaded")]
    Unloadable {
        /// Bits from the start of the outer struct.
        bit: u64,
        /// Width in bits.
        bits: u64,
    },
}

/// BTF bytes with the places of their types.
///
/// Names are looked up by going through all types, and remembered. An index of every name would take 6 MiB for the sake of
/// two dozen of them, and the daemon would keep that memory for life.
pub struct Btf<'a> {
    sections: Sections<'a>,
    /// Where each type starts in the type section; the first is type 1.
    starts: Vec<u32>,
    /// Structs, enumerations, functions and typedefs looked up so far.
    found: RefCell<HashMap<(Kind, String), Option<u32>>>,
}

impl<'a> Btf<'a> {
    /// Checks that every type lies within `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let sections = raw::sections(bytes)?;
        let mut btf = Self { sections, starts: Vec::new(), found: RefCell::default() };
        let mut at = 0;
        let mut id = 1;
        while at < sections.types.len() {
            let start = u32::try_from(at).map_err(|_too_large| BtfError::Truncated { what: "type", at })?;
            let record = Record::read(&sections, at, id)?;
            btf.starts.push(start);
            at = record.end;
            id += 1;
        }
        Ok(btf)
    }

    /// All values of an enumeration, in the order of their declaration. Values above `i64::MAX` wrap.
    pub fn enum_values(&self, enumeration: &str) -> Option<Vec<(String, i64)>> {
        let values = self.enumerators(enumeration)?;
        Some(values.map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value)).collect())
    }

    /// One value of an enumeration.
    pub fn enum_value(&self, enumeration: &str, name: &str) -> Option<i64> {
        self.enumerators(enumeration)?.find(|&(found, _)| found == name.as_bytes()).map(|(_, value)| value)
    }

    /// How many parameters a kernel function takes. `None`: BTF has no such function, so nothing can attach to it.
    pub fn function_parameters(&self, function: &str) -> Option<usize> {
        let function = self.record(self.find(Kind::Func, function)?).ok()?;
        self.prototype_parameters(function.target)
    }

    /// The number of a kernel function's type.
    pub fn function_number(&self, function: &str) -> Option<u32> {
        self.find(Kind::Func, function)
    }

    /// How many arguments a raw tracepoint hands over, from the `btf_trace_<name>` typedef that every tracepoint
    /// has. Its function's first parameter is the probe's private data, which BPF programs do not see.
    pub fn tracepoint_arguments(&self, tracepoint: &str) -> Option<usize> {
        let typedef = self.find(Kind::Typedef, &format!("btf_trace_{tracepoint}"))?;
        let (_, pointer) = self.strip(typedef).ok()?;
        let parameters = self.prototype_parameters(pointer.target).filter(|_| pointer.kind == Kind::Ptr);
        parameters?.checked_sub(1)
    }

    /// The first type of a kind and name.
    fn find(&self, kind: Kind, name: &str) -> Option<u32> {
        let wanted = (kind, name.to_owned());
        if let Some(found) = self.found.borrow().get(&wanted) {
            return *found;
        }
        let id = (1..).zip(&self.starts).find_map(|(id, _)| self.is(id, kind, name).then_some(id));
        self.found.borrow_mut().insert(wanted, id);
        id
    }

    fn is(&self, id: u32, kind: Kind, name: &str) -> bool {
        let Ok(record) = self.record(id) else { return false };
        // An enumeration without values would be a forward declaration.
        let is_enum = matches!(record.kind, Kind::Enum | Kind::Enum64) && record.length != 0;
        let fits = if kind == Kind::Enum { is_enum } else { record.kind == kind };
        fits && self.sections.name(record.name) == Some(name.as_bytes())
    }

    fn record(&self, id: u32) -> Result<Record<'a>, BtfError> {
        let index = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        let start = index.and_then(|index| self.starts.get(index)).ok_or(BtfError::NoType { id })?;
        let start = usize::try_from(*start).map_err(|_too_large| BtfError::NoType { id })?;
        Record::read(&self.sections, start, id)
    }

    /// The type behind typedefs, qualifiers and type tags, with its number.
    fn strip(&self, mut id: u32) -> Result<(u32, Record<'a>), BtfError> {
        for _ in 0..MAX_CHAIN {
            let record = self.record(id)?;
            if !record.kind.is_transparent() {
                return Ok((id, record));
            }
            id = record.target;
        }
        Err(BtfError::TooDeep { id })
    }

    fn prototype_parameters(&self, id: u32) -> Option<usize> {
        let (_, prototype) = self.strip(id).ok()?;
        (prototype.kind == Kind::FuncProto).then_some(prototype.length)
    }

    fn enumerators(&self, enumeration: &str) -> Option<impl Iterator<Item = (&'a [u8], i64)>> {
        let record = self.record(self.find(Kind::Enum, enumeration)?).ok()?;
        let sections = self.sections;
        let values =
            record.enumerators().filter_map(move |(name, value)| Some((sections.name(name)?, value)));
        (record.length <= MAX_ENUMERATORS).then_some(values)
    }
}

impl fmt::Debug for Btf<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes and the index would be megabytes.
        formatter.debug_struct("Btf").field("types", &self.starts.len()).finish_non_exhaustive()
    }
}
