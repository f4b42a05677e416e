//! BTF's binary form: the header's sections, and one type record at a time, every access checked.
//!
//! A record is twelve bytes (name, info, size or type) and a tail whose length follows from the kind. Nothing here
//! follows a reference from one type to another; that is the reader's part.

use super::{BtfError, MAX_NAME};

/// Bytes of the fixed part of a record.
const RECORD: usize = 12;
/// Bytes of one member of a struct or union: name, type, offset.
const MEMBER: usize = 12;
/// Bytes of one parameter of a function: name, type.
const PARAMETER: usize = 8;
/// Bytes of one value of a 32-bit enumeration: name, value.
const ENUMERATOR: usize = 8;
/// Bytes of one value of a 64-bit enumeration: name, low half, high half.
const ENUMERATOR64: usize = 12;
/// Bytes of one variable in a data section: type, offset, size.
const SECTION_VARIABLE: usize = 12;
/// Shortest header there is; Linux 7.2 may append where the layout section lies.
const HEADER: usize = 24;
/// The header with the layout section's place.
const HEADER_WITH_LAYOUT: usize = 32;

/// What a type record describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
    /// Newer than this reader; the layout section told its length.
    Other,
}

impl Kind {
    /// Whether it only decorates or renames another type.
    pub(super) fn is_transparent(self) -> bool {
        matches!(self, Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag)
    }

    fn has_size(self) -> bool {
        matches!(self, Self::Int | Self::Struct | Self::Union | Self::Enum | Self::Enum64 | Self::Float)
    }
}

/// The parts of the file, and the bytes of each.
#[derive(Clone, Copy)]
pub(super) struct Sections<'a> {
    pub(super) types: &'a [u8],
    strings: &'a [u8],
    /// Per kind: bytes of its tail's fixed part, bytes of each element, 2 unused ones. Empty on older kernels.
    layout: &'a [u8],
}

impl<'a> Sections<'a> {
    /// The name at an offset, empty for nameless types. `None`: outside the section, or without end.
    pub(super) fn name(&self, offset: u32) -> Option<&'a [u8]> {
        let rest = self.strings.get(usize::try_from(offset).ok()?..)?;
        let within = rest.get(..MAX_NAME).unwrap_or(rest);
        let end = within.iter().position(|&byte| byte == 0)?;
        within.get(..end)
    }

    /// Bytes of the fixed part and of one element, for a kind that only the layout section knows.
    fn lengths(&self, kind: u8) -> Option<(usize, usize)> {
        let entry = self.layout.get(usize::from(kind) * 4..)?;
        match entry {
            [fixed, element, _, _, ..] => Some((usize::from(*fixed), usize::from(*element))),
            _ => None,
        }
    }
}

/// Finds the sections.
pub(super) fn sections(bytes: &[u8]) -> Result<Sections<'_>, BtfError> {
    match bytes {
        [0x9f, 0xeb, 1, ..] => {}
        [0xeb, 0x9f, ..] => return Err(BtfError::BigEndian),
        _ => return Err(BtfError::NotBtf),
    }
    let word = |at: usize| u32_at(bytes, at).ok_or(BtfError::Truncated { what: "header", at });
    let header = word(4)?;
    let body = usize::try_from(header).ok().filter(|&length| length >= HEADER);
    let body = body.and_then(|length| bytes.get(length..));
    let body = body.ok_or(BtfError::Truncated { what: "header", at: bytes.len() })?;
    let section = |what: &'static str, at: usize| {
        let (offset, length) = (word(at)?, word(at + 4)?);
        part(body, offset, length).ok_or(BtfError::Truncated { what, at: body.len() })
    };
    let has_layout = bytes.len() - body.len() >= HEADER_WITH_LAYOUT;
    Ok(Sections {
        types: section("type section", 8)?,
        strings: section("string section", 16)?,
        layout: if has_layout { section("layout section", 24)? } else { &[] },
    })
}

/// One type.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    /// Offset of the name in the string section.
    pub(super) name: u32,
    pub(super) kind: Kind,
    /// `kind_flag`: bitfield members in a struct or union, signed values in an enumeration.
    flag: bool,
    /// Number of members, values or parameters.
    pub(super) length: usize,
    /// Size in bytes for kinds that have one, else the number of the type it refers to.
    pub(super) target: u32,
    /// What follows the fixed part.
    pub(super) tail: &'a [u8],
    /// Where the next record starts.
    pub(super) end: usize,
}

/// One member of a struct or union.
#[derive(Clone, Copy)]
pub(super) struct Member {
    /// Offset of the name in the string section.
    pub(super) name: u32,
    /// Number of its type.
    pub(super) target: u32,
    /// Bits from the start of the struct.
    pub(super) bit: u32,
    /// Width of a bitfield, else 0.
    pub(super) bits: u32,
}

impl<'a> Record<'a> {
    /// Reads type number `id`, which starts at `at` in the type section.
    pub(super) fn read(sections: &Sections<'a>, at: usize, id: u32) -> Result<Self, BtfError> {
        let truncated = || BtfError::Truncated { what: "type", at };
        let rest = sections.types.get(at..).ok_or_else(truncated)?;
        let word = |at: usize| u32_at(rest, at).ok_or_else(truncated);
        let (name, info, target) = (word(0)?, word(4)?, word(8)?);
        // Older kernels have 16 bits of count and 5 of kind, and zeroes where 7.2 widened them.
        let length = usize::try_from(info & 0x00ff_ffff).map_err(|_too_large| truncated())?;
        let number = (info >> 24).to_le_bytes()[0] & 0x7f;
        let (kind, fixed, element) = match number {
            1 => (Kind::Int, 4, 0),
            2 => (Kind::Ptr, 0, 0),
            3 => (Kind::Array, 12, 0),
            4 => (Kind::Struct, 0, MEMBER),
            5 => (Kind::Union, 0, MEMBER),
            6 => (Kind::Enum, 0, ENUMERATOR),
            7 => (Kind::Fwd, 0, 0),
            8 => (Kind::Typedef, 0, 0),
            9 => (Kind::Volatile, 0, 0),
            10 => (Kind::Const, 0, 0),
            11 => (Kind::Restrict, 0, 0),
            12 => (Kind::Func, 0, 0),
            13 => (Kind::FuncProto, 0, PARAMETER),
            14 => (Kind::Var, 4, 0),
            15 => (Kind::Datasec, 0, SECTION_VARIABLE),
            16 => (Kind::Float, 0, 0),
            17 => (Kind::DeclTag, 4, 0),
            18 => (Kind::TypeTag, 0, 0),
            19 => (Kind::Enum64, 0, ENUMERATOR64),
            kind => {
                let lengths = sections.lengths(kind).ok_or(BtfError::UnknownKind { kind, id })?;
                (Kind::Other, lengths.0, lengths.1)
            }
        };
        let size = element.checked_mul(length).and_then(|elements| elements.checked_add(fixed));
        let tail_end = size.and_then(|size| size.checked_add(RECORD)).ok_or_else(truncated)?;
        let tail = rest.get(RECORD..tail_end).ok_or_else(truncated)?;
        Ok(Self { name, kind, flag: info >> 31 == 1, length, target, tail, end: at + tail_end })
    }

    /// The members of a struct or union; nothing for other kinds.
    pub(super) fn members(self) -> impl Iterator<Item = Member> + use<'a> {
        let tail = if matches!(self.kind, Kind::Struct | Kind::Union) { self.tail } else { &[] };
        tail.chunks_exact(MEMBER).filter_map(move |member| {
            let offset = u32_at(member, 8)?;
            let (bit, bits) = if self.flag { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
            Some(Member { name: u32_at(member, 0)?, target: u32_at(member, 4)?, bit, bits })
        })
    }

    /// The values of an enumeration, each with its name's offset; nothing for other kinds.
    pub(super) fn enumerators(self) -> impl Iterator<Item = (u32, i64)> + use<'a> {
        let tail = if matches!(self.kind, Kind::Enum | Kind::Enum64) { self.tail } else { &[] };
        let size = if self.kind == Kind::Enum64 { ENUMERATOR64 } else { ENUMERATOR };
        tail.chunks_exact(size).filter_map(move |value| {
            let low = u32_at(value, 4)?;
            let number = match u32_at(value, 8) {
                Some(high) => (u64::from(high) << 32 | u64::from(low)).cast_signed(),
                None if self.flag => i64::from(low.cast_signed()),
                None => i64::from(low),
            };
            Some((u32_at(value, 0)?, number))
        })
    }

    /// For an integer: how far its value lies from the start, and its width, both in bits. Compilers before
    /// `kind_flag` described bitfields so.
    pub(super) fn integer_bits(self) -> Option<(u32, u32)> {
        let encoding = u32_at(self.tail, 0).filter(|_| self.kind == Kind::Int)?;
        Some((encoding >> 16 & 0xff, encoding & 0xff))
    }

    /// Size in bytes of what knows its own size: not arrays, and nothing without one (functions, `void`).
    pub(super) fn size(self) -> Option<u32> {
        if self.kind.has_size() { Some(self.target) } else { (self.kind == Kind::Ptr).then_some(8) }
    }

    /// For an array: the number of its element's type, and how many.
    pub(super) fn array(self) -> Option<(u32, u32)> {
        (self.kind == Kind::Array).then_some((u32_at(self.tail, 0)?, u32_at(self.tail, 8)?))
    }
}

fn part(bytes: &[u8], offset: u32, length: u32) -> Option<&[u8]> {
    let offset = usize::try_from(offset).ok()?;
    bytes.get(offset..offset.checked_add(usize::try_from(length).ok()?)?)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}
