//! The events of a trial as they are told. The daemon keeps ten thousand, and other traffic on this host may need that room
//! before the trial is over.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
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
    looking: Option<JoinHandle<Result<()>>>,
    events: Arc<Mutex<Events>>,
}

impl Watch {
    /// Begins after this event.
    pub(crate) fn start(api: Api, after: u64) -> Self {
        let (stop, stopped) = sync_channel(0);
        let events = Arc::default();
        let into = Arc::clone(&events);
        let looking = thread::spawn(move || look(&api, after, &stopped, &into));
        Self { stop: Some(stop), looking: Some(looking), events }
    }

    /// What was seen up to the last look.
    pub(crate) fn so_far(&self) -> Vec<EventView> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A last look, and all that was seen, in order.
    pub(crate) fn finish(&mut self) -> Result<Vec<EventView>> {
        drop(self.stop.take());
        let looked = self.looking.take().map(JoinHandle::join);
        looked.and_then(Result::ok).ok_or_else(|| anyhow!("nobody has looked for events"))??;
        Ok(self.so_far())
    }
}

fn look(api: &Api, after: u64, stopped: &Receiver<()>, into: &Mutex<Events>) -> Result<()> {
    let mut seen = after;
    loop {
        let is_over = matches!(stopped.recv_timeout(pause()), Err(RecvTimeoutError::Disconnected));
        let newest = api.events("limit=1&idle_closes=true")?.events.last().map_or(0, |event| event.id);
        // What is not final yet must be looked at once more.
        let lock = || into.lock().unwrap_or_else(PoisonError::into_inner);
        let first = lock().iter().find(|(_, event)| !event.is_final).map(|(id, _)| id - 1);
        let from = first.unwrap_or(seen);
        // And of all that is still kept it may have become known since that it was part of a burst, and who its owner is.
        let from = if is_over { after } else { from };
        for peer in PEERS {
            let query = format!("after={from}&limit=10000&idle_closes=true&peer={peer}");
            let told = api.events(&query)?.events;
            lock().extend(told.into_iter().map(|event| (event.id, event)));
        }
        seen = newest;
        if is_over {
            return Ok(());
        }
    }
}
