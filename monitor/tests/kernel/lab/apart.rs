//! What one end makes of a reset when it cannot ask the other: between the two is address translation, so that the daemon, though it sees
//! both, does not know them for one connection.
//!
//! The sender still says what is true. What the receiver names otherwise it must not call certain, and where it says likely,
//! `confusion.rs` has the reason.

use anyhow::Result;
use rustix::process::Signal;

use super::Experiment;
use super::bench::Bench;
use super::nat::translating;
use super::nginx::{Nginx, Settings, aborted_at_a_closed_window};
use super::program::{Client, GET, QUIET};
use super::upload::{BODY, UNANSWERED, header};
use super::{haproxy, python};
use crate::api::Api;
use crate::ledger::Role;
use crate::netns::{Namespace, Routed};
use crate::oracle;
use crate::sockets::{Place, poll_for_reset, send, wait_for_reset};
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    ("seen from afar, nginx's keep-alive timeout is the race still", None, |api| play(api, race)),
    ("seen from afar, a request too many is late data still", None, |api| play(api, one_too_many)),
    ("seen from afar, an upload closed unread is the peer's abort at most", None, |api| {
        play(api, closed_unread)
    }),
    ("seen from afar, the body after an early close is late data still", None, |api| {
        play(api, body_after_the_close)
    }),
    ("seen from afar, a killed server's connections are what their FINs make of them", None, |api| {
        play(api, killed)
    }),
    ("seen from afar, a reset for not reading is not called certain", None, |api| play(api, reset_timedout)),
    ("seen from afar, HAProxy's end of an idle flow is not called certain", None, |api| play(api, idle_flow)),
    ("seen from afar, a client that gives up is the peer's abort at most", None, |api| {
        play(api, client_gives_up)
    }),
];

/// Plays in the server's namespace; the clients are to be in the other.
fn play(api: &Api, play: fn(&mut Bench<'_>, &Namespace) -> Result<()>) -> Result<()> {
    let routed = translating()?;
    let place = Place::between(Routed::SERVER[0].parse()?, Routed::CLIENT[0].parse()?);
    routed.server.enter(|| {
        let mut bench = Bench::open(api, place, &[&routed.client, &routed.server])?;
        play(&mut bench, &routed.client)?;
        bench.judge()
    })
}

fn served(bench: &Bench<'_>, afar: &Namespace) -> Result<Client> {
    let place = bench.place;
    afar.enter(|| Client::served(&place))
}

fn connected(bench: &Bench<'_>, afar: &Namespace) -> Result<Client> {
    let place = bench.place;
    let client = afar.enter(|| Client::connect(&place))?;
    client.until_accepted()?;
    Ok(client)
}

fn race(bench: &mut Bench<'_>, afar: &Namespace) -> Result<()> {
    let server = "keepalive_timeout 2s;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let client = served(bench, afar)?;
    client.until_closed()?;
    client.ask_too_late()?;
    bench.reset(client.port, Role::Server, "idle_reuse");
    Ok(())
}

fn one_too_many(bench: &mut Bench<'_>, afar: &Namespace) -> Result<()> {
    let server = "keepalive_timeout 75s; keepalive_requests 2;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let client = served(bench, afar)?;
    client.get()?;
    client.until_closed()?;
    client.ask_too_late()?;
    bench.reset(client.port, Role::Server, "late_data");
    Ok(())
}

fn closed_unread(bench: &mut Bench<'_>, afar: &Namespace) -> Result<()> {
    let nginx = Nginx::start(&bench.place, Settings { server: UNANSWERED, ..Settings::default() })?;
    let client = connected(bench, afar)?;
    nginx.program.freeze()?;
    let upload = [header(BODY), vec![b'x'; 32 << 10]].concat();
    send(&client.socket, &upload)?;
    oracle::until_unread(bench.place.port, client.port, upload.len().try_into()?)?;
    nginx.program.thaw()?;
    wait_for_reset(&client.socket)?;
    bench.reset_unknown(client.port, Role::Server, "unread_data", &["peer_abort"]);
    Ok(())
}

fn body_after_the_close(bench: &mut Bench<'_>, afar: &Namespace) -> Result<()> {
    let _nginx = Nginx::start(&bench.place, Settings { server: UNANSWERED, ..Settings::default() })?;
    let client = connected(bench, afar)?;
    send(&client.socket, &header(BODY))?;
    client.until_closed()?;
    send(&client.socket, b"the beginning of a large file")?;
    wait_for_reset(&client.socket)?;
    bench.reset(client.port, Role::Server, "late_data");
    Ok(())
}

fn killed(bench: &mut Bench<'_>, afar: &Namespace) -> Result<()> {
    let mut nginx = Nginx::start(&bench.place, Settings::default())?;
    let idle = served(bench, afar)?;
    wait::quiet_for(QUIET);
    let (used, busy) = (served(bench, afar)?, served(bench, afar)?);
    nginx.program.freeze()?;
    send(&busy.socket, GET)?;
    oracle::until_unread(bench.place.port, busy.port, GET.len().try_into()?)?;
    nginx.program.signal(Signal::KILL)?;
    nginx.program.wait()?;
    poll_for_reset(&busy.socket)?;
    for client in [&idle, &used] {
        client.until_closed()?;
        client.ask_too_late()?;
    }
    // How quiet it was decides between the two, and a slow machine is slow to kill.
    for client in [&idle, &used] {
        bench.reset_unknown(client.port, Role::Server, "process_exit", &["idle_reuse", "late_data"]);
    }
    bench.reset_unknown(busy.port, Role::Server, "process_exit", &["peer_abort"]);
    Ok(())
}

fn reset_timedout(bench: &mut Bench<'_>, afar: &Namespace) -> Result<()> {
    let server = "send_timeout 1s; reset_timedout_connection on;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let client = connected(bench, afar)?;
    client.socket.set_recv_buffer_size(4_096)?;
    send(&client.socket, b"GET /large HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    client.until_reset_at_a_closed_window()?;
    bench.state(aborted_at_a_closed_window(bench, client.port));
    let received = bench.truth(client.port, Role::Client, "reset_received", "linger_abort");
    bench.state([received.or_perhaps(&["peer_abort", "idle_abort"])]);
    Ok(())
}

fn idle_flow(bench: &mut Bench<'_>, afar: &Namespace) -> Result<()> {
    let flow = haproxy::flow(bench)?;
    flow.towards_the_server(bench);
    let client = served(bench, afar)?;
    wait_for_reset(&client.socket)?;
    bench.reset_unknown(client.port, Role::Server, "linger_abort", &["idle_abort"]);
    Ok(())
}

fn client_gives_up(bench: &mut Bench<'_>, afar: &Namespace) -> Result<()> {
    let _nginx = Nginx::start(&bench.place, Settings::default())?;
    let here: &Bench<'_> = bench;
    // All of it there: the script ends with the thread that started it.
    let port = afar.enter(|| {
        let mut client = python::script(here)?;
        let port: u16 = client.ask("connect")?.word(0)?.parse()?;
        client.ask("get")?;
        client.ask("abort")?;
        Ok(port)
    })?;
    bench.reset_unknown(port, Role::Client, "linger_abort", &["peer_abort"]);
    Ok(())
}
