//! What no real kernel's BTF has, or only some: odd types, old and new encodings, circles.

use monitor_common::layout::Field;

use super::{Btf, BtfError};

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const ENUM: u32 = 6;
const FWD: u32 = 7;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC_PROTO: u32 = 13;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;
/// Set in a kind: bitfield members, or signed values.
const FLAG: u32 = 0x80;

/// BTF under construction.
struct Builder {
    types: Vec<u32>,
    count: u32,
    strings: Vec<u8>,
}

impl Builder {
    fn new() -> Self {
        Self { types: Vec::new(), count: 0, strings: vec![0] }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let offset = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(name.bytes().chain([0]));
        offset
    }

    /// Adds a type and gives its number. `target` is a size or another type's number.
    fn add(&mut self, name: &str, kind: u32, target: u32, length: u32, words: &[u32]) -> u32 {
        let name = self.name(name);
        self.types.extend([name, kind << 24 | length, target]);
        self.types.extend(words);
        self.count += 1;
        self.count
    }

    fn int(&mut self, size: u32) -> u32 {
        self.add("int", INT, size, 0, &[size * 8])
    }

    /// Adds a struct of members given as name, type, offset in bits.
    fn record(&mut self, name: &str, kind: u32, members: &[(&str, u32, u32)]) -> u32 {
        let words: Vec<_> =
            members.iter().flat_map(|&(name, target, bit)| [self.name(name), target, bit]).collect();
        self.add(name, kind, 16, u32::try_from(members.len()).unwrap(), &words)
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes_with_layout(&[])
    }

    /// The file, with a layout section of four bytes per kind if there are any.
    fn bytes_with_layout(&self, layout: &[u8]) -> Vec<u8> {
        let types = u32::try_from(self.types.len() * 4).unwrap();
        let strings = u32::try_from(self.strings.len()).unwrap();
        let mut header = vec![0x0001_eb9f, 24, 0, types, types, strings];
        if !layout.is_empty() {
            header[1] = 32;
            header.extend([types + strings, u32::try_from(layout.len()).unwrap()]);
        }
        let words = header.iter().chain(&self.types).copied();
        words.flat_map(u32::to_le_bytes).chain(self.strings.iter().copied()).chain(layout.to_vec()).collect()
    }
}

/// Asks for member `member` of struct `outer`, with the given types around it.
fn field_of(build: impl Fn(&mut Builder)) -> Result<Option<Field>, BtfError> {
    let mut builder = Builder::new();
    build(&mut builder);
    Btf::parse(&builder.bytes()).unwrap().field("outer", "member")
}

fn plain(offset: u16, size: u16) -> Field {
    bits(offset, size, 0, 0)
}

fn bits(offset: u16, size: u16, shift: u8, bits: u8) -> Field {
    Field { offset, size, shift, bits, reserved: 0 }
}

#[test]
fn a_bitfield_takes_the_shortest_load_that_covers_it() {
    let cases = [
        ((0, 1), Ok(Some(bits(0, 1, 0, 1)))),
        ((15, 1), Ok(Some(bits(1, 1, 7, 1)))),
        ((7, 9), Ok(Some(bits(0, 2, 7, 9)))),
        ((7, 10), Ok(Some(bits(0, 4, 7, 10)))),
        ((8, 24), Ok(Some(bits(1, 4, 0, 24)))),
        ((4, 29), Ok(Some(bits(0, 8, 4, 29)))),
        ((64, 64), Ok(Some(bits(8, 8, 0, 64)))),
        ((1, 64), Err(BtfError::Unloadable { bit: 1, bits: 64 })),
    ];
    for ((bit, width), expected) in cases {
        let found = field_of(|builder| {
            let int = builder.int(8);
            builder.record("outer", STRUCT | FLAG, &[("member", int, width << 24 | bit)]);
        });
        assert_eq!(found, expected, "{width} bits from bit {bit} on");
    }
}

#[test]
fn a_bitfield_of_an_old_compiler_hides_in_its_integer_type() {
    let found = field_of(|builder| {
        // Three bits, from bit 5 of the four bytes on.
        let int = builder.add("int", INT, 4, 0, &[5 << 16 | 3]);
        builder.record("outer", STRUCT, &[("member", int, 32)]);
    });
    assert_eq!(found, Ok(Some(bits(4, 1, 5, 3))));
}

#[test]
fn names_and_qualifiers_of_a_type_are_looked_through() {
    let found = field_of(|builder| {
        let mut target = builder.int(4);
        for kind in [CONST, VOLATILE, RESTRICT, TYPE_TAG, TYPEDEF] {
            target = builder.add("decoration", kind, target, 0, &[]);
        }
        builder.record("outer", STRUCT, &[("member", target, 32)]);
    });
    assert_eq!(found, Ok(Some(plain(4, 4))));
}

#[test]
fn an_array_is_measured_with_all_its_elements_and_a_pointer_has_eight_bytes() {
    let found = field_of(|builder| {
        let void = builder.add("", PTR, 0, 0, &[]);
        let inner = builder.add("", ARRAY, 0, 0, &[void, 0, 3]);
        let array = builder.add("", ARRAY, 0, 0, &[inner, 0, 5]);
        builder.record("outer", STRUCT, &[("member", array, 64)]);
    });
    assert_eq!(found, Ok(Some(plain(8, 3 * 5 * 8))));
}

#[test]
fn what_the_kernel_side_cannot_load_is_refused() {
    let of_size = |size: u32, bit: u32| {
        field_of(|builder| {
            let int = builder.int(size);
            builder.record("outer", STRUCT, &[("member", int, bit)]);
        })
    };
    assert_eq!(of_size(16, 0), Err(BtfError::Unloadable { bit: 0, bits: 128 }));
    assert_eq!(of_size(0, 0), Err(BtfError::Unloadable { bit: 0, bits: 0 }));
    assert_eq!(of_size(4, 3), Err(BtfError::Unloadable { bit: 3, bits: 32 }));
    assert_eq!(of_size(8, 8 * 65536), Err(BtfError::Unloadable { bit: 8 * 65536, bits: 64 }));
    assert_eq!(of_size(8, 8 * 65528), Ok(Some(plain(65528, 8))));
    let function = field_of(|builder| {
        let function = builder.add("", FUNC_PROTO, 0, 0, &[]);
        builder.record("outer", STRUCT, &[("member", function, 0)]);
    });
    assert_eq!(function, Err(BtfError::NoSize { id: 1 }));
}

#[test]
fn a_member_behind_a_pointer_is_not_part_of_the_struct() {
    let mut builder = Builder::new();
    let int = builder.int(4);
    let inner = builder.record("inner", STRUCT, &[("value", int, 0)]);
    let pointer = builder.add("", PTR, inner, 0, &[]);
    builder.record("outer", STRUCT, &[("held", inner, 32), ("pointed", pointer, 64)]);
    let bytes = builder.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.field("outer", "held.value"), Ok(Some(plain(4, 4))));
    assert_eq!(btf.field("outer", "pointed.value"), Ok(None));
    assert_eq!(btf.field("outer", "pointed"), Ok(Some(plain(8, 8))));
}

#[test]
fn a_forward_declaration_is_not_the_struct() {
    let found = field_of(|builder| {
        builder.add("outer", FWD, 0, 0, &[]);
        let int = builder.int(4);
        builder.record("outer", STRUCT, &[("member", int, 0)]);
    });
    assert_eq!(found, Ok(Some(plain(0, 4))));
}

#[test]
fn the_values_of_an_enumeration_keep_their_sign_and_high_half() {
    let mut builder = Builder::new();
    let name = builder.name("VALUE");
    builder.add("unsigned", ENUM, 4, 1, &[name, u32::MAX]);
    builder.add("signed", ENUM | FLAG, 4, 1, &[name, u32::MAX]);
    builder.add("wide", ENUM64, 8, 1, &[name, 7, 1]);
    builder.add("wide_signed", ENUM64 | FLAG, 8, 1, &[name, u32::MAX, u32::MAX]);
    let bytes = builder.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    let value = |enumeration| btf.enum_value(enumeration, "VALUE");
    assert_eq!(value("unsigned"), Some(0xffff_ffff));
    assert_eq!(value("signed"), Some(-1));
    assert_eq!(value("wide"), Some((1 << 32) + 7));
    assert_eq!(value("wide_signed"), Some(-1));
    assert_eq!(btf.enum_values("wide"), Some(vec![("VALUE".to_owned(), (1 << 32) + 7)]));
    assert_eq!(btf.enum_value("wide", "OTHER"), None);
}

#[test]
fn types_that_lead_to_themselves_are_refused() {
    let typedef = field_of(|builder| {
        let first = builder.add("first", TYPEDEF, 2, 0, &[]);
        builder.add("second", TYPEDEF, first, 0, &[]);
        builder.record("outer", STRUCT, &[("member", first, 0)]);
    });
    let nested = field_of(|builder| {
        builder.record("outer", STRUCT, &[("", 1, 0)]);
    });
    let array = field_of(|builder| {
        let array = builder.add("", ARRAY, 0, 0, &[1, 1, 2]);
        builder.record("outer", STRUCT, &[("member", array, 0)]);
    });
    for found in [typedef, nested, array] {
        assert!(matches!(found, Err(BtfError::TooDeep { .. })), "{found:?}");
    }
    let dangling = field_of(|builder| {
        builder.record("outer", STRUCT, &[("member", 9, 0)]);
    });
    assert_eq!(dangling, Err(BtfError::NoType { id: 9 }));
}

#[test]
fn a_search_that_fans_out_on_every_level_ends() {
    // Ten levels of a hundred nameless members each would be 10^20 members to look at.
    let found = field_of(|builder| {
        let mut target = builder.int(4);
        for _ in 0..10 {
            target = builder.record("", STRUCT, &[("", target, 0); 100]);
        }
        builder.record("outer", STRUCT, &[("", target, 0)]);
    });
    assert!(matches!(found, Err(BtfError::TooDeep { .. })), "{found:?}");
}

#[test]
fn a_kind_of_the_future_is_refused_unless_the_file_tells_its_length() {
    let mut builder = Builder::new();
    builder.add("future", 20, 0, 2, &[1, 2, 3, 4, 5]);
    let int = builder.int(4);
    builder.record("outer", STRUCT, &[("member", int, 32)]);
    assert_eq!(Btf::parse(&builder.bytes()).unwrap_err(), BtfError::UnknownKind { kind: 20, id: 1 });

    let mut layout = [0; 21 * 4];
    // Four bytes, and eight more for each of two elements.
    layout[20 * 4..].copy_from_slice(&[4, 8, 0, 0]);
    let bytes = builder.bytes_with_layout(&layout);
    assert_eq!(Btf::parse(&bytes).unwrap().field("outer", "member"), Ok(Some(plain(4, 4))));
}

#[test]
fn other_files_are_refused_by_their_first_bytes() {
    let bytes = Builder::new().bytes();
    assert!(Btf::parse(&bytes).is_ok());
    let parse = |first: [u8; 3]| Btf::parse(&[&first, &bytes[3..]].concat()).unwrap_err();
    assert_eq!(parse([0xeb, 0x9f, 1]), BtfError::BigEndian);
    assert_eq!(parse([0x9f, 0xeb, 2]), BtfError::NotBtf);
    assert_eq!(parse(*b"\x7fEL"), BtfError::NotBtf);
    assert_eq!(Btf::parse(&[]).unwrap_err(), BtfError::NotBtf);
}

#[test]
fn a_name_without_end_or_beyond_all_bounds_is_nobodys() {
    let mut builder = Builder::new();
    let long = "x".repeat(600);
    let name = builder.name("VALUE");
    builder.add(&long, ENUM, 4, 1, &[name, 1]);
    builder.add("known", ENUM, 4, 2, &[u32::MAX, 1, name, 2]);
    let bytes = builder.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.enum_values(&long), None);
    assert_eq!(btf.enum_values("known"), Some(vec![("VALUE".to_owned(), 2)]));
}
