//! What to show: the filters of the API and of the command line, which are the same.

use std::net::IpAddr;

use jiff::Timestamp;
use monitor_common::counters::Kind;
use monitor_common::peer::Role;

use self::order::Order;
use self::pattern::PeerPattern;
use self::text::Text;
use super::error::ApiError;
use super::query::form::Form;
use super::query::{Params, parse_address};
use crate::cause::Cause;
use crate::event::{Direction, Told, role_name};
use crate::snapshot::PeerRow;
use crate::timeouts::TimeoutRow;
use crate::view::EventView;

pub mod alerts;
pub mod listeners;
pub mod order;
pub mod pattern;
pub mod target;
pub mod text;

/// Which events to show; `None` means all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// The other end.
    pub peer: Option<PeerPattern>,
    /// The port of either end.
    pub port: Option<u16>,
    /// Sent or received.
    pub direction: Option<Direction>,
    /// Our verdict.
    pub cause: Option<Cause>,
    /// Kind of story.
    pub kind: Option<Kind>,
    /// Idle closes, too, which are no resets. A kind that is one implies it.
    pub idle_closes: bool,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
}

/// What parameters are for that several routes take.
pub(super) const WHO: &str = "Peers by what is shown for them; a network has all addresses in it.";
pub(super) const SERVICE_PORT: &str = "Service port: the peer's as client, ours as server.";
pub(super) const ROLE: &str = "Our role: `client` if we connected, `server` if we accepted.";

/// What of an event filters look at.
struct Subject<'a> {
    remote: Option<IpAddr>,
    ports: [u16; 2],
    direction: &'a str,
    cause: Option<&'a str>,
    kind: &'a str,
    idle_close: bool,
    time: Option<Timestamp>,
}

impl EventFilter {
    pub(super) fn from_params(params: &mut Params) -> Result<Self, ApiError> {
        let address =
            Form::Text { words: "an address or a network such as 10.0.0.0/24", example: "10.0.0.0/24" };
        let directions = Form::word([Direction::Sent, Direction::Received].map(Direction::name));
        let causes = Form::word(Cause::ALL.map(Cause::name));
        let kinds = Form::word(Kind::ALL.map(Kind::name));
        let idle_closes = "Idle closes, too, which are no resets. A `kind` that is one implies it.";
        Ok(Self {
            peer: params
                .take("peer", "Address or network of the other end.", address, |text| text.parse().ok())?,
            port: params.number("port", "Port of either end.", 0, u16::MAX)?,
            direction: params.take("direction", "Who sent.", directions, direction_from_name)?,
            cause: params.take("cause", "Our verdict.", causes, Cause::from_name)?,
            kind: params.take("kind", "What happened.", kinds, kind_from_name)?,
            idle_closes: params.flag("idle_closes", idle_closes)?,
            since: params.take("since", "Not before this moment.", Form::Time, |text| text.parse().ok())?,
            until: params.take("until", "Before this moment.", Form::Time, |text| text.parse().ok())?,
        })
    }

    /// Whether to show it.
    pub fn matches(&self, told: &Told) -> bool {
        self.matches_as(told, told.verdict.map(|verdict| verdict.cause))
    }

    /// Whether to show it if its cause were this one.
    pub fn matches_as(&self, told: &Told, cause: Option<Cause>) -> bool {
        self.fits(&Subject {
            remote: Some(told.event.remote.ip().to_canonical()),
            ports: [told.event.local.port(), told.event.remote.port()],
            direction: Direction::of(told.event.kind).name(),
            cause: cause.map(Cause::name),
            kind: told.event.kind.name(),
            idle_close: told.event.kind.is_idle_close(),
            time: Some(shown(told.event.time)),
        })
    }

    /// The same for an event that came over the API.
    pub fn matches_view(&self, event: &EventView) -> bool {
        self.fits(&Subject {
            remote: parse_address(&event.remote.addr),
            ports: [event.local.port, event.remote.port],
            direction: &event.direction,
            cause: event.cause.as_deref(),
            kind: &event.kind,
            idle_close: kind_from_name(&event.kind).is_some_and(Kind::is_idle_close),
            time: event.time.parse().ok(),
        })
    }

    fn fits(&self, subject: &Subject<'_>) -> bool {
        let Self { peer, port, direction, cause, kind, idle_closes, since, until } = *self;
        let wanted = idle_closes || kind.is_some_and(Kind::is_idle_close) || !subject.idle_close;
        wanted
            && since.is_none_or(|since| subject.time.is_some_and(|time| time >= since))
            && until.is_none_or(|until| subject.time.is_some_and(|time| time < until))
            && peer.is_none_or(|peer| subject.remote.is_some_and(|remote| peer.has_address(remote)))
            && port.is_none_or(|port| subject.ports.contains(&port))
            && direction.is_none_or(|direction| direction.name() == subject.direction)
            && cause.is_none_or(|cause| Some(cause.name()) == subject.cause)
            && kind.is_none_or(|kind| kind.name() == subject.kind)
    }

    /// As query parameters, each with a leading `&`. Nothing in them needs escaping.
    pub fn to_query(&self) -> String {
        let Self { peer, port, direction, cause, kind, idle_closes, since, until } = *self;
        let mut query = String::new();
        append(&mut query, "peer", peer);
        append(&mut query, "port", port);
        append(&mut query, "direction", direction.map(Direction::name));
        append(&mut query, "cause", cause.map(Cause::name));
        append(&mut query, "kind", kind.map(Kind::name));
        append(&mut query, "idle_closes", idle_closes.then_some(true));
        append(&mut query, "since", since);
        append(&mut query, "until", until);
        query
    }
}

/// Order of peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PeerSort {
    /// Most resets, sent and received, first.
    #[default]
    Resets,
    /// Most resets received first.
    Received,
    /// Most resets sent first.
    Sent,
    /// Most refusals received first.
    Refused,
    /// The largest share of closed connections that were reset first.
    Ratio,
    /// Most connections reset first.
    Reset,
    /// Most connections aborted first.
    Aborted,
    /// Most connections opened first.
    Opened,
    /// Most closed connections first.
    Closed,
    /// Most exchanges first.
    Exchanges,
    /// Most open connections first.
    Open,
    /// Most open connections that are quiet first.
    Idle,
    /// By network namespace, the highest number first.
    Netns,
    /// By the cause of most resets.
    Cause,
    /// By our role.
    Role,
    /// By address, port and role.
    Peer,
}

impl PeerSort {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Resets,
        Self::Received,
        Self::Sent,
        Self::Refused,
        Self::Ratio,
        Self::Reset,
        Self::Aborted,
        Self::Opened,
        Self::Closed,
        Self::Exchanges,
        Self::Open,
        Self::Idle,
        Self::Netns,
        Self::Cause,
        Self::Role,
        Self::Peer,
    ];

    /// As the query parameter `sort` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::Received => "received",
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Ratio => "ratio",
            Self::Reset => "reset",
            Self::Aborted => "aborted",
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Exchanges => "exchanges",
            Self::Open => "open",
            Self::Idle => "idle",
            Self::Netns => "netns",
            Self::Cause => "cause",
            Self::Role => "role",
            Self::Peer => "peer",
        }
    }

    /// Which way round unless asked otherwise: counts from the largest down, names by the alphabet.
    pub const fn usual_order(self) -> Order {
        match self {
            Self::Cause | Self::Role | Self::Peer => Order::Asc,
            Self::Resets
            | Self::Received
            | Self::Sent
            | Self::Refused
            | Self::Ratio
            | Self::Reset
            | Self::Aborted
            | Self::Opened
            | Self::Closed
            | Self::Exchanges
            | Self::Open
            | Self::Idle
            | Self::Netns => Order::Desc,
        }
    }
}

/// Which peers to show, in which order; `None` means all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerFilter {
    /// The other end.
    pub peer: Option<PeerPattern>,
    /// Service port.
    pub port: Option<u16>,
    /// Our role.
    pub role: Option<Role>,
    /// Inode number of the network namespace.
    pub netns: Option<u32>,
    /// A part of what is shown of them.
    pub text: Option<Text>,
    /// In which order.
    pub sort: PeerSort,
    /// Which way round; `None` for the usual one.
    pub order: Option<Order>,
}

impl PeerFilter {
    pub(super) fn from_params(params: &mut Params) -> Result<Self, ApiError> {
        let named = |name: &str| PeerSort::ALL.into_iter().find(|sort| sort.name() == name);
        let sorts = Form::word(PeerSort::ALL.map(PeerSort::name));
        let sort = params.take("sort", "By which column they are in order.", sorts, named)?;
        params.by_default(PeerSort::default().name());
        let order = "Which way round. Without it counts come from the largest down, names by the alphabet.";
        let order = params.take("order", order, Form::word(Order::ALL.map(Order::name)), |name| {
            Order::ALL.into_iter().find(|order| order.name() == name)
        })?;
        let text = "A part of the peer's address or network, names, port, role or main cause.";
        let text = params.take("text", text, Text::FORM, |text| text.parse().ok())?;
        Ok(Self { text, sort: sort.unwrap_or_default(), order, ..Self::one_from_params(params)? })
    }

    /// The same without an order, for one who is asked about by name.
    pub(super) fn one_from_params(params: &mut Params) -> Result<Self, ApiError> {
        Ok(Self {
            peer: params.take("peer", WHO, PeerPattern::FORM, |text| text.parse().ok())?,
            port: params.number("port", SERVICE_PORT, 0, u16::MAX)?,
            role: params.take("role", ROLE, role_form(), role_from_name)?,
            netns: params.number("netns", "Inode number of the network namespace.", 0, u32::MAX)?,
            ..Self::default()
        })
    }

    fn matches(&self, row: &PeerRow, names: impl FnOnce() -> String) -> bool {
        let Self { peer, port, role, netns, text, sort: _, order: _ } = *self;
        peer.is_none_or(|peer| peer.has_scope(row.label.scope))
            && port.is_none_or(|port| row.label.port == Some(port))
            && role.is_none_or(|role| row.label.role == role)
            && netns.is_none_or(|netns| row.netns == Some(netns))
            && text.is_none_or(|text| text.is_in(row, names))
    }

    /// The matching rows in order, by what is in them alone.
    pub fn select<'a>(&self, rows: &'a [PeerRow]) -> Vec<&'a PeerRow> {
        self.select_named(rows, |_| String::new())
    }

    /// The same with what else is shown of each, which is only asked for to look for a text.
    pub fn select_named<'a>(
        &self,
        rows: &'a [PeerRow],
        names: impl Fn(&PeerRow) -> String,
    ) -> Vec<&'a PeerRow> {
        let matching = rows.iter().filter(|row| self.matches(row, || names(row)));
        let mut chosen: Vec<&PeerRow> = matching.collect();
        order::sort(&mut chosen, self.sort, self.order.unwrap_or(self.sort.usual_order()));
        chosen
    }

    /// The timeouts that match, the worst first.
    pub(super) fn select_timeouts<'a>(&self, rows: &'a [TimeoutRow]) -> Vec<&'a TimeoutRow> {
        let mut chosen: Vec<_> = rows.iter().filter(|row| self.matches_timeout(row)).collect();
        chosen.sort_unstable_by_key(|row| (row.badness(), row.service));
        chosen
    }

    /// Whether one matches.
    pub(super) fn matches_timeout(&self, row: &TimeoutRow) -> bool {
        let Self { peer, port, role, netns, text: _, sort: _, order: _ } = *self;
        let of = row.service;
        peer.is_none_or(|peer| of.peer.is_some_and(|address| peer.has_address(address)))
            && port.is_none_or(|port| of.port == port)
            && role.is_none_or(|role| of.role == role)
            && netns.is_none_or(|netns| of.netns == netns)
    }

    /// As query parameters, each with a leading `&`. Nothing in them needs escaping.
    pub fn to_query(&self) -> String {
        let mut query = self.to_query_of_one();
        append(&mut query, "text", self.text);
        append(&mut query, "sort", Some(self.sort.name()));
        append(&mut query, "order", self.order.map(Order::name));
        query
    }

    /// The same without an order.
    pub fn to_query_of_one(&self) -> String {
        let Self { peer, port, role, netns, text: _, sort: _, order: _ } = *self;
        let mut query = String::new();
        append(&mut query, "peer", peer);
        append(&mut query, "port", port);
        append(&mut query, "role", role.map(role_name));
        append(&mut query, "netns", netns);
        query
    }
}

/// The direction with that name.
pub fn direction_from_name(name: &str) -> Option<Direction> {
    [Direction::Sent, Direction::Received].into_iter().find(|direction| direction.name() == name)
}

/// The kind with that name.
pub fn kind_from_name(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.name() == name)
}

/// The role with that name.
pub fn role_from_name(name: &str) -> Option<Role> {
    [Role::Client, Role::Server].into_iter().find(|role| role_name(*role) == name)
}

pub(super) fn role_form() -> Form {
    Form::word([Role::Client, Role::Server].map(role_name))
}

/// A time as JSON shows it, to the microsecond: what was shown can be asked for.
fn shown(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

fn append(query: &mut String, name: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        query.extend(["&", name, "=", &value.to_string()]);
    }
}
