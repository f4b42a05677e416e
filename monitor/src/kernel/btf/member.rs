//! Member chains: from `tcp_sock` and `rx_opt.ts_recent` to the bytes that the kernel side must load.
//!
//! A chain goes through structs held by value, unions and whatever has no name, and never through a pointer.

use monitor_common::layout::Field;

use super::raw::Kind;
use super::{Btf, BtfError, MAX_CHAIN};

/// How deep nameless structs and unions may nest within one link of a chain. Real ones nest two or three deep.
const MAX_NESTING: usize = 16;

/// Members looked at for one chain. `task_struct`, the longest, has about 300; the limit ends searches in hostile
/// input where nameless members fan out on every level.
const MAX_MEMBERS: u32 = 20_000;

/// Where a chain has led so far.
#[derive(Clone, Copy)]
struct Place {
    /// Number of the type there.
    target: u32,
    /// Bits from the start of the outer struct.
    bit: u64,
    /// Width of a bitfield, else 0.
    bits: u64,
}

impl Btf<'_> {
    /// Where a member lies in a struct. `None`: this kernel has no such struct, or no such member by value.
    ///
    /// A number comes out as 1, 2, 4 or 8 bytes, a pointer as 8, an array, struct or union with its whole size, and
    /// a bitfield as the shortest load that covers it.
    pub fn field(&self, outer: &str, path: &str) -> Result<Option<Field>, BtfError> {
        let Some(target) = self.find(Kind::Struct, outer) else { return Ok(None) };
        let mut place = Place { target, bit: 0, bits: 0 };
        let mut budget = MAX_MEMBERS;
        for name in path.split('.') {
            match self.member(place, name.as_bytes(), MAX_NESTING, &mut budget)? {
                Some(inner) => place = inner,
                None => return Ok(None),
            }
        }
        self.place_to_field(place).map(Some)
    }

    fn member(
        &self,
        outer: Place,
        name: &[u8],
        nesting: usize,
        budget: &mut u32,
    ) -> Result<Option<Place>, BtfError> {
        let (id, record) = self.strip(outer.target)?;
        for member in record.members() {
            *budget = budget.checked_sub(1).ok_or(BtfError::TooDeep { id })?;
            let bit = outer.bit.saturating_add(u64::from(member.bit));
            let place = Place { target: member.target, bit, bits: u64::from(member.bits) };
            let found = match self.sections.name(member.name) {
                Some(found) if found == name => Some(place),
                Some([]) => {
                    let nesting = nesting.checked_sub(1).ok_or(BtfError::TooDeep { id })?;
                    self.member(place, name, nesting, budget)?
                }
                Some(_) | None => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn place_to_field(&self, place: Place) -> Result<Field, BtfError> {
        let (id, record) = self.strip(place.target)?;
        let size = self.size(id)?;
        if place.bits != 0 {
            return bitfield(place.bit, place.bits);
        }
        if let Some((offset, bits)) = record.integer_bits() {
            let bits = u64::from(bits);
            if bits != 0 && (offset != 0 || bits != size.saturating_mul(8)) {
                return bitfield(place.bit.saturating_add(u64::from(offset)), bits);
            }
        }
        let aggregate = matches!(record.kind, Kind::Struct | Kind::Union | Kind::Array);
        let loadable =
            size != 0 && (aggregate || matches!(size, 1 | 2 | 4 | 8)) && place.bit.is_multiple_of(8);
        match (u16::try_from(place.bit / 8), u16::try_from(size)) {
            (Ok(offset), Ok(size)) if loadable => Ok(Field { offset, size, ..Field::default() }),
            _ => Err(BtfError::Unloadable { bit: place.bit, bits: size.saturating_mul(8) }),
        }
    }

    /// Size of a type in bytes, an array's being that of all its elements.
    fn size(&self, mut id: u32) -> Result<u64, BtfError> {
        let mut count: u64 = 1;
        for _ in 0..MAX_CHAIN {
            let (inner, record) = self.strip(id)?;
            let Some((element, length)) = record.array() else {
                let size = record.size().ok_or(BtfError::NoSize { id: inner })?;
                return Ok(count.saturating_mul(u64::from(size)));
            };
            count = count.saturating_mul(u64::from(length));
            id = element;
        }
        Err(BtfError::TooDeep { id })
    }
}

/// The shortest load of 1, 2, 4 or 8 bytes that covers a bitfield, starting at the byte that holds its first bit.
/// Bits count from the least significant one, as on every little-endian machine.
fn bitfield(bit: u64, bits: u64) -> Result<Field, BtfError> {
    let unloadable = BtfError::Unloadable { bit, bits };
    let shift = bit % 8;
    let size = [1_u16, 2, 4, 8].into_iter().find(|&size| u64::from(size) * 8 >= shift + bits);
    match (u16::try_from(bit / 8), size, u8::try_from(shift), u8::try_from(bits)) {
        (Ok(offset), Some(size), Ok(shift), Ok(bits)) => Ok(Field { offset, size, shift, bits, reserved: 0 }),
        _ => Err(unloadable),
    }
}
