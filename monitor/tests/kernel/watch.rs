//! The events of a trial as they are told. The daemon keeps ten thousand, and other traffic on this host may need that room
//! before the trial is over.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow};
use monitor::view::EventView;

use crate::api::Api;
use crate::machine;

/// Where trials have their peers, as filters of the API.
const PEERS: [&str; 4] = ["127.0.0.2/31", "fd00::a/127", "10.77.0.0/24", "fd77::/64"];
/// Between two looks. A virtual machine has no traffic but the trials', and looking is what its daemon would be busy with.
fn pause() -> Duration {
    Duration::from_millis(if machine::is_virtual() { 2_000 } else { 200 })
}

type Events = BTreeMap<u64, EventView>;

/// Looks for events now and then, until it is asked for them.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Dropped, it ends the looking.
    stop: Option<SyncSender<()>>,
    events: Option<JoinHandle<Result<Events>>>,
}

impl Watch {
    /// Begins after this event.
    pub(crate) fn start(api: Api, after: u64) -> Self {
        let (stop, stopped) = sync_channel(0);
        let events = thread::spawn(move || look(&api, after, &stopped));
        Self { stop: Some(stop), events: Some(events) }
    }

    /// A last look, and all that was seen, in order.
    pub(crate) fn finish(&mut self) -> Result<Vec<EventView>> {
        drop(self.stop.take());
        let events = self.events.take().map(JoinHandle::join);
        let events = events.and_then(Result::ok).ok_or_else(|| anyhow!("nobody has looked for events"))??;
        Ok(events.into_values().collect())
    }
}

fn look(api: &Api, after: u64, stopped: &Receiver<()>) -> Result<Events> {
    let mut events = Events::new();
    let mut seen = after;
    loop {
        let is_over = matches!(stopped.recv_timeout(pause()), Err(RecvTimeoutError::Disconnected));
        let newest = api.events("limit=1&idle_closes=true")?.events.last().map_or(0, |event| event.id);
        // What is not final yet must be looked at once more.
        let first = events.iter().find(|(_, event)| !event.is_final);
        let from = first.map_or(seen, |(id, _)| id - 1);
        // And of all that is still kept it may have become known since that it was part of a burst, and who its owner is.
        let from = if is_over { after } else { from };
        for peer in PEERS {
            let query = format!("after={from}&limit=10000&idle_closes=true&peer={peer}");
            events.extend(api.events(&query)?.events.into_iter().map(|event| (event.id, event)));
        }
        seen = newest;
        if is_over {
            return Ok(events);
        }
    }
}
