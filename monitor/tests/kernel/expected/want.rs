//! What a field of an event must be.

use anyhow::Result;
use serde_json::Value;

use crate::signals::{Sight, Signal, gives_reasons, reason_here};

/// What a field must be.
#[derive(Clone, Debug)]
pub(super) enum Want {
    Is(Value),
    OneOf(Vec<Value>),
    Between(f64, f64),
    Known,
    /// This value where a function hook serves the signal, null where none does.
    Seen(Signal, Box<Self>),
    /// One value where a function hook serves the signal, another where none does.
    Sighted {
        signal: Signal,
        with: Value,
        without: Value,
    },
    /// The kernel's own reason, where it has one.
    Reason(&'static str),
    /// One value where the kernel gives reasons, another where it gives none.
    Reasoned {
        with: Value,
        without: Value,
    },
}

impl Want {
    /// This value where a function hook serves the signal, null where none does.
    pub(super) fn seen(signal: Signal, value: Value) -> Self {
        Self::Seen(signal, Box::new(Self::Is(value)))
    }

    /// Another value than so far; nothing stays nothing.
    pub(super) fn become_value(&mut self, other: &Value) {
        match self {
            Self::Is(value) if !value.is_null() => value.clone_from(other),
            Self::Seen(_, want) => want.become_value(other),
            Self::OneOf(values) => {
                values.iter_mut().filter(|value| !value.is_null()).for_each(|value| value.clone_from(other));
            }
            Self::Is(_)
            | Self::Between(..)
            | Self::Known
            | Self::Reason(_)
            | Self::Reasoned { .. }
            | Self::Sighted { .. } => {}
        }
    }

    /// Whether that was found, by a daemon with this sight.
    pub(super) fn is_met_by(&self, found: &Value, sight: &Sight) -> Result<bool> {
        Ok(match self {
            Self::Is(value) => value == found,
            Self::OneOf(values) => values.contains(found),
            Self::Between(least, most) => {
                found.as_f64().is_some_and(|found| *least <= found && found <= *most)
            }
            Self::Known => !found.is_null(),
            Self::Seen(signal, want) if sight.has(*signal) => want.is_met_by(found, sight)?,
            Self::Seen(..) => found.is_null(),
            Self::Sighted { signal, with, without } => {
                found == if sight.has(*signal) { with } else { without }
            }
            Self::Reason(name) => found.as_str() == reason_here(name)?,
            Self::Reasoned { with, without } => found == if gives_reasons()? { with } else { without },
        })
    }
}
