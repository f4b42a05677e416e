//! Resolves every field that the kernel side reads, from BTF to the table that is injected into the programs.
//!
//! Pure: [`Btf`] in, [`Layout`] out. Which fields there are, and which we can do without, is
//! [`FIELD_PATHS`]' business.

use std::fmt;

use monitor_common::layout::{FIELD_COUNT, FIELD_PATHS, Field, FieldPath, Layout, Need};
use monitor_common::places::Places;
use thiserror::Error;

use super::btf::{Btf, BtfError};
use super::places::places;

/// A layout, and what is missing from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// For the kernel side. Missing fields are zero.
    pub layout: Layout,
    /// Where those are that are read together.
    pub places: Places,
    /// Optional fields that this kernel does not have; what is told about a reset is less for it.
    pub missing: Vec<Unresolved>,
}

/// A field that the running kernel does not have, or not in a form that we can load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// Which one.
    pub field: FieldPath,
    /// What stopped us. `None`: it is simply not there.
    pub cause: Option<BtfError>,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FieldPath { outer, path, need: _ } = self.field;
        match &self.cause {
            None => write!(formatter, "{outer}.{path}"),
            Some(cause) => write!(formatter, "{outer}.{path} ({cause})"),
        }
    }
}

/// Nothing useful can run with this kernel's structs.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    /// Fields are missing that counting rests on: all of them.
    #[error(
        "resolve kernel fields: not in this kernel's BTF: {}; Linux 5.10 or newer with TCP is needed",
        list(.0)
    )]
    Missing(Vec<Unresolved>),
    /// Fields lie further apart than on any kernel seen, or are of another size.
    #[error(
        "resolve kernel fields: in this kernel's structs they lie too far apart or have another size; please report its version"
    )]
    Spread,
}

/// Looks every field up. Fails with all the required ones that are missing at once.
pub fn resolve(btf: &Btf<'_>) -> Result<Resolved, LayoutError> {
    let mut fields = [Field::default(); FIELD_COUNT];
    let (mut required, mut optional) = (Vec::new(), Vec::new());
    for (slot, &field) in fields.iter_mut().zip(FIELD_PATHS) {
        let cause = match btf.field(field.outer, field.path) {
            Ok(Some(found)) => {
                *slot = found;
                continue;
            }
            Ok(None) => None,
            Err(error) => Some(error),
        };
        match field.need {
            Need::Required => required.push(Unresolved { field, cause }),
            Need::Optional => optional.push(Unresolved { field, cause }),
        }
    }
    if required.is_empty() {
        let layout = Layout::from_fields(fields);
        let places = places(&layout).ok_or(LayoutError::Spread)?;
        Ok(Resolved { layout, places, missing: optional })
    } else {
        Err(LayoutError::Missing(required))
    }
}

/// The layout as the kernel side's read-only global holds it.
pub fn layout_bytes(layout: &Layout) -> Vec<u8> {
    layout.fields().into_iter().flat_map(Field::to_bytes).collect()
}

fn list(missing: &[Unresolved]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
