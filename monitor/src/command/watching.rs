//! What an empty answer is made of: how much is watched, so that "nothing" can be told from "nobody looks".

use super::client::Server;
use super::top::picture::age;
use crate::advice::numbers::count;
use crate::view::overview::OverviewView;

/// Asks the daemon what it watches. Without an answer there is less to tell, which is no failure: the question itself was answered.
pub async fn ask(server: &Server) -> Option<OverviewView> {
    server.get("/api/v1/overview").await.ok()
}

/// `watching 3 open connections with 2 peers since 5 min 3 s`; nothing without an answer. Pure.
pub fn text(overview: Option<&OverviewView>) -> String {
    let Some(OverviewView { peers, open, uptime_seconds, .. }) = overview else { return String::new() };
    let open = open.map(|open| count(open, "open connection"));
    let peers = peers.map(|peers| count(peers, "peer"));
    let what = match (open, peers) {
        (Some(open), Some(peers)) => format!(" {open}, {peers} so far,"),
        (Some(one), None) | (None, Some(one)) => format!(" {one}"),
        (None, None) => String::new(),
    };
    format!("; watching{what} for {}", age(*uptime_seconds))
}
