//! A mix of what goes wrong with connections, as a service and its clients do it. Every part waits until the kernel has done it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use socket2::{Protocol, Socket};

use crate::oracle::{Netstat, listening};
use crate::sockets::{
    Place, Service, abort, error_name, poll_for_reset, receive_end, send, unique_port, wait_for_data,
    wait_for_reset,
};
use crate::wait;

/// So often each.
const ABORTED: u64 = 3;
const UNREAD: u64 = 2;
const LATE: u64 = 2;
const REFUSED: u64 = 2;
/// Connections that the server closes after a while, each in a moment of its own: enough for its timeout to be known.
const QUIET: u64 = 3;
/// Far enough above the second from which on quiet counts that so many alike are no chance.
const QUIET_FOR: Duration = Duration::from_secs(3);
/// How many may wait in the queue that is to be full; one more does.
const LIMIT: u32 = 1;

/// A queue that stays full, and who waits in it.
#[derive(Debug)]
pub(super) struct Full {
    port: u16,
    overflows: u64,
    _service: Service,
    _waiting: Vec<Socket>,
}

impl Full {
    /// Fills a queue in this namespace, whose counters nobody else moves, and has one client meet it.
    pub(super) fn fill(place: Place) -> Result<Self> {
        let before = Netstat::read()?;
        let overflows = || -> Result<u64> { Ok(Netstat::read()?.since(before).listen_overflows) };
        let service = place.listen_with(LIMIT.try_into()?)?;
        let waiting = (0..=LIMIT).map(|_| place.connect()).collect::<Result<Vec<_>>>()?;
        wait::until_true("connections in the accept queue", || {
            Ok(listening(place.port)?.iter().any(|listener| listener.backlog == u64::from(LIMIT) + 1))
        })?;
        let late = place.client_socket(Protocol::TCP, 0)?;
        late.set_nonblocking(true)?;
        ensure!(late.connect(&place.target().into()).is_err(), "connected at once");
        wait::until_true("an overflow", || Ok(overflows()? > 0))?;
        drop(late);
        Ok(Self { port: place.port, overflows: overflows()?, _service: service, _waiting: waiting })
    }
}

/// Makes all of it at the service, and says what that was.
pub(super) fn make(service: &Service, full: &Full) -> Result<Value> {
    (0..ABORTED).try_for_each(|_| aborted(service))?;
    (0..UNREAD).try_for_each(|_| unread(service))?;
    (0..LATE).try_for_each(|_| late(service))?;
    for _ in 0..QUIET {
        quiet(service, ended)?;
    }
    quiet(service, reused)?;
    let closed = service.place.with_port(unique_port());
    for _ in 0..REFUSED {
        let client = closed.client_socket(Protocol::TCP, 0)?;
        let refused = client.connect(&closed.target().into());
        ensure!(
            refused.is_err_and(|error| error_name(&error).is_ok_and(|name| name == "ECONNREFUSED")),
            "not refused"
        );
    }
    let received = BTreeMap::from([("linger_abort", ABORTED), ("unread_data", UNREAD), ("late", LATE + 1)]);
    Ok(json!({
        "received": received,
        "refused": REFUSED,
        "refused_port": closed.port,
        "full_port": full.port,
        "overflows": full.overflows,
        "waiting": LIMIT + 1,
        "limit": LIMIT,
    }))
}

/// A server that has answered once aborts, and its client sees it.
pub(super) fn aborted(service: &Service) -> Result<()> {
    let pair = service.pair()?;
    pair.exchange(1)?;
    abort(pair.server)?;
    wait_for_reset(&pair.client)
}

/// A server closes with a request unread.
fn unread(service: &Service) -> Result<()> {
    let pair = service.pair()?;
    pair.exchange(1)?;
    send(&pair.client, b"request")?;
    wait_for_data(&pair.server)?;
    drop(pair.server);
    wait_for_reset(&pair.client)
}

/// A server closes, and its client asks once more.
fn late(service: &Service) -> Result<()> {
    let pair = service.pair()?;
    pair.exchange(1)?;
    reused(pair.close_server()?.client)
}

/// A server closes after a while without requests, and its client does this.
fn quiet(service: &Service, then: impl FnOnce(Socket) -> Result<()>) -> Result<()> {
    let pair = service.pair()?;
    pair.exchange(1)?;
    wait::quiet_for(QUIET_FOR);
    then(pair.close_server()?.client)
}

/// A client that sees the end closes, too.
#[expect(clippy::needless_pass_by_value, reason = "it is closed")]
fn ended(client: Socket) -> Result<()> {
    receive_end(&client)
}

/// A client that does not look sends its request.
#[expect(clippy::needless_pass_by_value, reason = "it is closed")]
fn reused(client: Socket) -> Result<()> {
    send(&client, b"request")?;
    poll_for_reset(&client)
}
