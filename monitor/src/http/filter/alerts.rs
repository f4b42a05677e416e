//! Which alerts to show: of the API and of the command line.

use super::pattern::PeerPattern;
use super::{WHO, append};
use crate::alerts::book::{AlertRow, State};
use crate::alerts::catalog::Alert;
use crate::alerts::subject::{Listener, Subject};
use crate::http::error::ApiError;
use crate::http::query::Params;
use crate::http::query::form::Form;

/// Which alerts to show; `None` means all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// How far they are.
    pub state: Option<State>,
    /// Their name.
    pub alert: Option<Alert>,
    /// Whom they are about.
    pub peer: Option<PeerPattern>,
    /// Service port of the peer, or port of the listener.
    pub port: Option<u16>,
}

impl AlertFilter {
    pub(in crate::http) fn from_params(params: &mut Params) -> Result<Self, ApiError> {
        let states = Form::word(State::ALL.map(State::name));
        let alerts = Form::word(Alert::ALL.map(Alert::name));
        let port = "Service port of the peer, or port of the listener.";
        Ok(Self {
            state: params.take("state", "How far they are.", states, State::from_name)?,
            alert: params.take("alert", "Their name.", alerts, Alert::from_name)?,
            peer: params.take("peer", WHO, PeerPattern::FORM, |text| text.parse().ok())?,
            port: params.number("port", port, 0, u16::MAX)?,
        })
    }

    /// The matching alerts, in their order.
    pub fn select<'a>(&self, rows: &'a [AlertRow]) -> Vec<&'a AlertRow> {
        rows.iter().filter(|row| self.matches(row)).collect()
    }

    fn matches(&self, row: &AlertRow) -> bool {
        let Self { state, alert, peer, port } = *self;
        let (scope, its_port) = match row.identity.subject {
            Subject::Peer { netns: _, label } => (Some(label.scope), label.port),
            Subject::Port { netns: _, port } => (None, Some(port)),
            Subject::Listener { netns: _, listener: Listener::At(address) } => (None, Some(address.port())),
            Subject::Listener { netns: _, listener: Listener::Other | Listener::Unknown }
            | Subject::Signal(_)
            | Subject::Host => (None, None),
        };
        state.is_none_or(|state| row.state() == state)
            && alert.is_none_or(|alert| row.identity.alert == alert)
            && peer.is_none_or(|peer| scope.is_some_and(|scope| peer.has_scope(scope)))
            && port.is_none_or(|port| its_port == Some(port))
    }

    /// As query parameters, each with a leading `&`. Nothing in them needs escaping.
    pub fn to_query(&self) -> String {
        let Self { state, alert, peer, port } = *self;
        let mut query = String::new();
        append(&mut query, "state", state.map(State::name));
        append(&mut query, "alert", alert.map(Alert::name));
        append(&mut query, "peer", peer);
        append(&mut query, "port", port);
        query
    }
}
