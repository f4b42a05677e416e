//! Overflows by listener and stage of the handshake, where functions are hooked; where they are not, nothing of it is told.

use anyhow::{Context as _, Result, ensure};
use monitor::view::listeners::ListenersView;
use rustix::process::Signal;
use socket2::Protocol;

use super::{ADMITTED, OVERFLOWS, at_rest, label, overflows, rows, sample};
use crate::api::Api;
use crate::daemon::Daemon;
use crate::netns::Namespace;
use crate::oracle::Netstat;
use crate::packets::Flags;
use crate::sockets::{Family, Place, lose};
use crate::wait;

/// Where functions are hooked: overflows by listener and stage, here all at the SYN, as many as the kernel counted, and their
/// stories. Where not: nothing of it.
pub(super) fn by_listener(
    api: &Api,
    view: &ListenersView,
    metrics: &str,
    place: &Place,
    theirs: u64,
) -> Result<()> {
    let status = api.status()?;
    let netns = Namespace::current()?.inum;
    let here = status.namespaces.iter().find(|row| row.netns == netns);
    let label = label(place);
    let series = |stage| {
        let labels = label.trim_end_matches('}');
        sample(metrics, &format!("{OVERFLOWS}{labels},stage=\"{stage}\"}}"))
    };
    let Some(overflows) = &view.overflows else {
        let unknown = sample(metrics, &format!("{OVERFLOWS}{{listener=\"unknown\",stage=\"unknown\"}}"));
        ensure!(unknown >= Some(theirs) && series("syn").is_none(), "{metrics}");
        ensure!(status.unattributed_overflows.is_none() && status.overflows_syn.is_none(), "{status:?}");
        return Ok(());
    };
    let row = overflows.iter().find(|row| row.netns == netns && row.port == place.port);
    let row = row.with_context(|| format!("no overflows of the listener in {overflows:?}"))?;
    ensure!((row.overflows_syn, row.overflows_ack, row.open) == (theirs, 0, Some(true)), "{row:?}, {theirs}");
    let listener = rows(view, place.port).first().and_then(|row| row.overflows_syn);
    ensure!(listener == Some(theirs), "{listener:?}, {theirs}");
    ensure!((series("syn"), series("ack")) == (Some(theirs), Some(0)), "{metrics}");
    let here = here.context("no row of our namespace")?;
    ensure!(
        here.overflows_syn == Some(theirs) && here.unattributed_overflows == Some(0),
        "{here:?}, {theirs}"
    );
    let events = api.events(&format!("limit=1000&kind=listen_overflow&port={}", place.port))?.events;
    ensure!(!events.is_empty(), "no story of any overflow");
    for event in events.iter().filter(|event| event.netns == netns) {
        let queue = event.backlog.map(|queue| (u64::from(queue.waiting), queue.limit));
        let told = (event.stage.as_deref(), event.cause.as_deref(), queue, event.local.port);
        let wanted = (Some("syn"), Some("listen_overflow"), Some((ADMITTED, 1)), place.port);
        ensure!(told == wanted, "{event:?}");
    }
    Ok(())
}

/// A client whose SYN-ACK was lost meanwhile has its place taken: its last ACK is dropped.
pub(super) fn at_the_last_ack(family: Family) -> Result<()> {
    let daemon = Daemon::start(&[])?;
    let start = Netstat::read()?;
    let place = Place::on_loopback(family);
    let service = place.listen_with(1)?;
    let late = place.client_socket(Protocol::TCP, 0)?;
    lose(&late, Flags::SYN)?;
    late.set_nonblocking(true)?;
    ensure!(late.connect(&place.target().into()).is_err(), "connected at once");
    let others = [place.connect()?, place.connect()?];
    // Its SYN is not answered once more, but its SYN-ACK comes again, and then its ACK finds the queue full.
    lose(&service.socket, Flags::SYN)?;
    late.detach_filter()?;
    wait::until("its last ACK to be dropped", || {
        let now = Netstat::read()?.since(start);
        Ok(if now.listen_overflows > 0 { Ok(()) } else { Err(format!("{now:?}")) })
    })?;
    let netns = Namespace::current()?.inum;
    let theirs = || Ok(Netstat::read()?.since(start).listen_overflows);
    at_rest(&daemon.api, theirs, |theirs, view, metrics| {
        ensure!(overflows(metrics) >= Some(*theirs), "{metrics}");
        let Some(listeners) = &view.overflows else { return Ok(()) };
        let row = listeners.iter().find(|row| row.netns == netns && row.port == place.port);
        let row = row.with_context(|| format!("no overflows of the listener in {listeners:?}"))?;
        ensure!((row.overflows_syn, row.overflows_ack) == (0, *theirs), "{row:?}, {theirs}");
        let status = daemon.api.status()?;
        let here = status.namespaces.iter().find(|row| row.netns == netns).context("no row")?;
        ensure!(here.unattributed_overflows == Some(0), "{here:?}, {theirs}");
        let path = format!("limit=1000&cause=listen_overflow&direction=received&port={}", place.port);
        let events = daemon.api.events(&path)?.events;
        let event = events.iter().find(|event| event.netns == netns).context("no story")?;
        let told = (event.stage.as_deref(), event.segment.as_ref().map(|segment| &*segment.flags));
        ensure!(told == (Some("ack"), Some(".")), "{event:?}");
        Ok(())
    })?;
    drop((late, others, service));
    daemon.stop(Signal::TERM)
}
