//! A hundred readers of the stream, ten of which have stopped reading: what they cost the daemon, and what they cost the others.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::Signal;
use socket2::SockRef;

use crate::daemon::Daemon;
use crate::needs::Need;
use crate::netns::Namespace;
use crate::sockets::{Family, Place, Service, abort, wait_for_reset};
use crate::{AloneWithOwn, wait};

pub(crate) const TRIALS: &[AloneWithOwn] = &[(
    "a hundred streams, ten of them stalled, cost the daemon under 64 MiB and the others nothing",
    Some(Need::OneKernel),
    hundred_streams,
)];

const READING: usize = 90;
const STALLED: usize = 10;
const ROUNDS: usize = 4;
/// Connections that end by a reset in a round. Each has an event at both ends.
const RESETS: usize = 250;
const MOST_BYTES: u64 = 64 << 20;
/// Room at the end of one that has stopped reading. The kernel doubles it.
const STALLED_ROOM: usize = 64 << 10;
/// More than the sockets of both ends hold of a stream: what a reader must have been given before others count as stalled.
const MORE_THAN_SOCKETS_HOLD: usize = 1 << 20;

fn hundred_streams() -> Result<()> {
    let daemon = Daemon::start(&[])?;
    let namespace = Namespace::create()?;
    let before = daemon.resident_bytes()?;
    let place = namespace.enter(|| Ok(Place::on_loopback(Family::V4)))?;
    let path = format!("/api/v1/events/stream?peer=127.0.0.0/8&port={}", place.port);
    let stalled: Vec<TcpStream> = (0..STALLED)
        .map(|_| {
            let stream = daemon.api.open_stream(&path)?;
            SockRef::from(&stream).set_recv_buffer_size(STALLED_ROOM)?;
            Ok(stream)
        })
        .collect::<Result<_>>()?;
    let readers: Vec<Reader> =
        (0..READING).map(|_| Ok(Reader::start(daemon.api.open_stream(&path)?))).collect::<Result<_>>()?;

    let service = namespace.enter(|| place.listen())?;
    let mut most = before;
    for round in 1..=ROUNDS {
        namespace.enter(|| make_resets(&service))?;
        // Nobody is left behind by those who do not read.
        let all = 2 * RESETS * round;
        wait::until_true("every reader to be told everything", || {
            Ok(readers.iter().all(|reader| reader.told.load(Ordering::Relaxed) >= all))
        })?;
        most = most.max(daemon.resident_bytes()?);
    }
    let kept = daemon.api.events(&format!("after=0&limit=10000&peer=127.0.0.0/8&port={}", place.port))?;
    let ids: Vec<u64> = kept.events.iter().map(|event| event.id).collect();
    ensure!(ids.len() == 2 * RESETS * ROUNDS, "{} events of {ROUNDS} times {RESETS} resets", ids.len());
    daemon.stop(Signal::TERM)?;

    for reader in readers {
        let seen = reader.finish()?;
        ensure!(seen.lagged == 0, "a reader that read was told of a gap");
        ensure!(seen.ids == ids, "a reader was told {} of {} events", seen.ids.len(), ids.len());
        ensure!(seen.bytes > MORE_THAN_SOCKETS_HOLD, "with {} bytes nobody is stalled", seen.bytes);
    }
    drop(stalled);
    ensure!(most - before < MOST_BYTES, "{before} bytes became {most} with {READING} and {STALLED} streams");
    Ok(())
}

fn make_resets(service: &Service) -> Result<()> {
    for _ in 0..RESETS {
        let pair = service.pair()?;
        pair.exchange(1)?;
        abort(pair.client)?;
        wait_for_reset(&pair.server)?;
    }
    Ok(())
}

/// What came over a stream.
#[derive(Debug, Default)]
struct Seen {
    ids: Vec<u64>,
    lagged: usize,
    bytes: usize,
}

/// One that reads as fast as it can, until the stream ends.
#[derive(Debug)]
struct Reader {
    told: Arc<AtomicUsize>,
    reading: JoinHandle<Result<Seen>>,
}

impl Reader {
    fn start(stream: TcpStream) -> Self {
        let told = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&told);
        Self { told, reading: thread::spawn(move || read(stream, &count)) }
    }

    fn finish(self) -> Result<Seen> {
        self.reading.join().ok().ok_or_else(|| anyhow!("a reader panicked"))?
    }
}

fn read(stream: TcpStream, told: &AtomicUsize) -> Result<Seen> {
    let mut seen = Seen::default();
    for line in BufReader::new(stream).lines() {
        let line = line.context("a stream broke off")?;
        seen.bytes += line.len() + 1;
        if let Some(id) = line.strip_prefix("id: ") {
            seen.ids.push(id.parse()?);
            told.store(seen.ids.len(), Ordering::Relaxed);
        } else if line == "event: lagged" {
            seen.lagged += 1;
        }
    }
    Ok(seen)
}
