//! Which listening sockets to show, and in which order: of the API and of the command line.

use std::cmp::Reverse;

use super::append;
use crate::http::error::ApiError;
use crate::http::query::Params;
use crate::snapshot::listening::ListenerRow;

/// Which listening sockets to show; `None` means all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerFilter {
    /// The port they listen on.
    pub port: Option<u16>,
}

impl ListenerFilter {
    pub(in crate::http) fn from_params(params: &mut Params) -> Result<Self, ApiError> {
        Ok(Self { port: params.number("port", "The port they listen on.", 0, u16::MAX)? })
    }

    /// The matching sockets: the fullest first, to a percent, then those that dropped most.
    pub fn select<'a>(&self, rows: &'a [ListenerRow]) -> Vec<&'a ListenerRow> {
        let Self { port } = *self;
        let wanted = |row: &&ListenerRow| port.is_none_or(|port| row.address.port() == port);
        let mut chosen: Vec<&ListenerRow> = rows.iter().filter(wanted).collect();
        chosen
            .sort_unstable_by_key(|row| (Reverse((row.queue.percent(), row.drops)), row.address, row.inode));
        chosen
    }

    /// As query parameters, each with a leading `&`. Nothing in them needs escaping.
    pub fn to_query(&self) -> String {
        let Self { port } = *self;
        let mut query = String::new();
        append(&mut query, "port", port);
        query
    }
}
