//! A connection that was used once, and is left alone: over HTTP, over TLS, and in the protocol of Redis.

use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::nginx::client_of_tls;
use super::program::Client;
use crate::clock::Moment;
use crate::oracle;
use crate::scripted::Scripted;
use crate::sockets::{Place, port_of, receive, receive_end, send, wait_for_reset};
use crate::wait;

/// What can become of it.
pub(super) trait Used: Send {
    /// It is left alone until the server ends it.
    fn until_ended(self: Box<Self>) -> Result<()>;

    /// It is used once more when the server has closed it, and is reset; its port.
    fn too_late(self: Box<Self>) -> Result<u16>;

    /// It is closed by its client, in good order.
    fn give_up(self: Box<Self>) -> Result<()>;
}

/// Makes one.
pub(super) type Use = fn(&Place) -> Result<Box<dyn Used>>;

/// How long the server leaves each of so many alone, one made so much time after the other; the shortest first.
pub(super) fn quiets(place: &Place, (count, apart): (usize, Duration), make: Use) -> Result<Vec<Duration>> {
    let mut quiets = thread::scope(|scope| -> Result<Vec<Duration>> {
        let mut waiting = Vec::new();
        for _ in 0..count {
            let (client, used) = Moment::of(|| make(place))?;
            waiting.push(scope.spawn(move || {
                let ((), ended) = Moment::of(|| client.until_ended())?;
                Ok(ended.after.saturating_sub(used.after))
            }));
            wait::quiet_for(apart);
        }
        waiting.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })?;
    quiets.sort_unstable();
    Ok(quiets)
}

/// Over HTTP.
pub(super) fn http(place: &Place) -> Result<Box<dyn Used>> {
    Ok(Box::new(Client::served(place)?))
}

impl Used for Client {
    fn until_ended(self: Box<Self>) -> Result<()> {
        receive_end(&self.socket)
    }

    fn too_late(self: Box<Self>) -> Result<u16> {
        self.until_closed()?;
        self.ask_too_late()?;
        Ok(self.port)
    }

    fn give_up(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Over TLS.
pub(super) fn tls(place: &Place) -> Result<Box<dyn Used>> {
    let mut client = client_of_tls(place)?;
    let port = client.ask("get")?.word(0)?.parse()?;
    Ok(Box::new(Tls { client, service: place.port, port }))
}

struct Tls {
    client: Scripted,
    service: u16,
    port: u16,
}

impl Used for Tls {
    fn until_ended(mut self: Box<Self>) -> Result<()> {
        self.client.ask("read_to_the_end").map(drop)
    }

    fn too_late(mut self: Box<Self>) -> Result<u16> {
        self.client.ask("until_closed")?;
        oracle::until_closed(self.service, self.port)?;
        oracle::until_acknowledged(self.service, self.port)?;
        self.client.ask("late")?;
        Ok(self.port)
    }

    fn give_up(mut self: Box<Self>) -> Result<()> {
        self.client.ask("close").map(drop)
    }
}

/// In the protocol of Redis.
pub(super) fn redis(place: &Place) -> Result<Box<dyn Used>> {
    let socket = place.connect()?;
    send(&socket, PING)?;
    receive(&socket, PONG)?;
    Ok(Box::new(Redis(Client::of(socket, place)?)))
}

const PING: &[u8] = b"PING\r\n";
/// Bytes of the answer, `+PONG` and the end of its line.
const PONG: usize = 7;

struct Redis(Client);

impl Used for Redis {
    fn until_ended(self: Box<Self>) -> Result<()> {
        receive_end(&self.0.socket)
    }

    fn too_late(self: Box<Self>) -> Result<u16> {
        self.0.until_closed()?;
        send(&self.0.socket, PING)?;
        wait_for_reset(&self.0.socket)?;
        port_of(&self.0.socket)
    }

    fn give_up(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
