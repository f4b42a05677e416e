//! Options whose values are names of closed lists, so that help lists them, shells complete them, and a wrong one is answered with the nearest.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use monitor_common::counters::Kind;
use monitor_common::peer::Role;

use crate::alerts::book::State;
use crate::alerts::catalog::Alert;
use crate::cause::Cause;
use crate::event::{Direction, role_name};
use crate::http::filter::{direction_from_name, kind_from_name, role_from_name};

/// A name of the list was typed, and has no value: the two lists differ.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it is listed and has no meaning, which is a fault of this program")]
pub struct Meaningless;

/// A cause of resets.
pub fn cause() -> impl TypedValueParser<Value = Cause> {
    one_of(Cause::ALL.map(Cause::name), Cause::from_name)
}

/// A kind of events.
pub fn kind() -> impl TypedValueParser<Value = Kind> {
    one_of(Kind::ALL.map(Kind::name), kind_from_name)
}

/// Sent or received.
pub fn direction() -> impl TypedValueParser<Value = Direction> {
    one_of([Direction::Sent, Direction::Received].map(Direction::name), direction_from_name)
}

/// Client or server.
pub fn role() -> impl TypedValueParser<Value = Role> {
    one_of([Role::Client, Role::Server].map(role_name), role_from_name)
}

/// Where an alert is.
pub fn state() -> impl TypedValueParser<Value = State> {
    one_of(State::ALL.map(State::name), State::from_name)
}

/// An alert.
pub fn alert() -> impl TypedValueParser<Value = Alert> {
    one_of(Alert::ALL.map(Alert::name), Alert::from_name)
}

fn one_of<T, const N: usize>(
    names: [&'static str; N],
    value: fn(&str) -> Option<T>,
) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(move |name| value(&name).ok_or(Meaningless))
}
