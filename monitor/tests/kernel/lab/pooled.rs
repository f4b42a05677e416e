//! Real clients that keep their connections for longer than their server does: called misaligned before any reset, then their request
//! crosses the server's FIN, and once the advice is followed no more of it is lost.
//!
//! The FIN is on its way for as long as the trial likes: the server's side believes in a wrong link-layer address of its client, so what
//! it sends gets nowhere, and is sent again.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use monitor::view::timeouts::TimeoutView;

use super::Experiment;
use super::bench::Bench;
use super::keepalive::{APART, MOMENTS, rows};
use super::nginx::{Nginx, Settings};
use super::pools::{java, python};
use super::program::Program;
use super::used::http;
use crate::api::Api;
use crate::clock::{Moment, now};
use crate::daemon::Scratch;
use crate::ledger::Role;
use crate::needs::Need;
use crate::netns::Joined;
use crate::oracle::{self, counter, state};
use crate::scripted::Scripted;
use crate::sockets::Place;
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    (
        "a pool of Python's http.client is misaligned, loses the race, and is aligned when it gives up first",
        Some(Need::Pace),
        |api| between(api, &[(SERVER, of_python)]),
    ),
    (
        "Java's HttpClient is misaligned, loses the race, and is aligned when it gives up first",
        Some(Need::Java),
        |api| between(api, &[(BEHIND_JAVA, of_java)]),
    ),
    (
        "curl is misaligned, loses the race, and loses none once its server waits for longer",
        Some(Need::Pace),
        |api| between(api, &[(BEFORE_CURL, of_curl), (SERVER, of_curl_in_time)]),
    ),
];

/// Far enough above what clients will do for the margin of 5 s, on a slow machine, too.
const SERVER: Duration = Duration::from_secs(9);
/// What a pool waits for that is too patient, and one that gives up first, in seconds.
const PATIENT: u32 = 60;
const CAUTIOUS: u32 = 2;
/// The same for Java, whose closes are anywhere within the second that follows: less could be chance.
const CAUTIOUS_JAVA: u32 = 4;
const BEHIND_JAVA: Duration = Duration::from_secs(11);
/// Java's ticks once a second, and its timeout shows in no fewer closes than that of any such timer.
const MOST_MOMENTS: usize = 20;
/// A FIN that was sent so often again in vain rests for more than a second.
const IN_VAIN: u64 = 3;
/// Between two requests of curl, which comes after the third time in vain and before the fourth: 3.2, 3.6, 4.4 and 6.0 s after the
/// request before.
const PER_MINUTE: &str = "12/m";
const BEFORE_CURL: Duration = Duration::from_secs(3);
/// More requests than it takes, and as many as it takes.
const MANY: usize = 100;
const AGAIN: usize = MOMENTS + 2;

/// A client's host, where it is played, and a server's.
struct Pair<'a, 'b> {
    joined: &'a Joined,
    bench: &'a mut Bench<'b>,
}

/// What clients do while a server is there.
type Play = fn(&mut Pair<'_, '_>) -> Result<()>;

/// Plays with each of the servers in turn, by what they wait, and judges.
fn between(api: &Api, servers: &[(Duration, Play)]) -> Result<()> {
    let joined = Joined::create()?;
    let [[one, _], [two, _]] = Joined::ADDRESSES;
    let place = Place::between(two.parse()?, one.parse()?);
    joined.two.enter(|| {
        let mut bench = Bench::open(api, place, &[&joined.one, &joined.two])?;
        for (timeout, play) in servers {
            let server = format!("keepalive_timeout {}s;", timeout.as_secs());
            let _server = Nginx::start(&place, Settings { server: &server, ..Settings::default() })?;
            let mut pair = Pair { joined: &joined, bench: &mut bench };
            joined.one.enter(|| play(&mut pair))?;
        }
        bench.judge()
    })
}

fn of_python(pair: &mut Pair<'_, '_>) -> Result<()> {
    let place = pair.bench.place;
    pair.of_a_pool(CAUTIOUS, |patience| python(&place, patience))
}

fn of_java(pair: &mut Pair<'_, '_>) -> Result<()> {
    let (place, files) = (pair.bench.place, Scratch::create()?);
    pair.of_a_pool(CAUTIOUS_JAVA, |patience| java(&place, &files, patience))
}

fn of_curl(pair: &mut Pair<'_, '_>) -> Result<()> {
    let _curl = pair.curl(MANY)?;
    pair.is_misaligned(|| {
        wait::quiet_for(APART);
        Ok(())
    })?;
    pair.until_alone()?;
    wait::until_true("its next request", || Ok(!pair.connections()?.is_empty()))?;
    pair.lose(|| Ok(()))
}

/// Of itself curl gives nothing up, so its server has to wait.
fn of_curl_in_time(pair: &mut Pair<'_, '_>) -> Result<()> {
    pair.curl(AGAIN)?.wait()?;
    pair.until_resets(1)
}

impl Pair<'_, '_> {
    fn of_a_pool(&mut self, cautious: u32, start: impl Fn(u32) -> Result<Scripted>) -> Result<()> {
        let mut pools = (0..MOMENTS).map(|_| start(PATIENT)).collect::<Result<Vec<_>>>()?;
        let ((), misaligned) = Moment::of(|| {
            self.is_misaligned(|| {
                for pool in &mut pools {
                    is_answered(pool)?;
                    wait::quiet_for(APART);
                }
                self.until_alone()
            })
        })?;
        let late = pools.first_mut().context("no pool")?;
        is_answered(late)?;
        self.lose(|| {
            // Java asks again by itself.
            let word = late.ask("get")?;
            ensure!(["lost", "response"].contains(&word.word(0)?), "{word:?}");
            Ok(())
        })?;
        drop(pools);
        // What the advice says: it gives up first.
        let mut pool = start(cautious)?;
        let from = now();
        for moment in 1.. {
            is_answered(&mut pool)?;
            self.until_alone()?;
            wait::quiet_for(APART);
            let rows = rows(self.bench)?;
            let is_so = |row: &TimeoutView| row.verdict == "aligned" && row.margin_seconds > Some(5.0);
            // For as long again.
            let is_long = now().saturating_sub(from) >= misaligned.after.saturating_sub(misaligned.before);
            if rows.iter().all(is_so) && is_long {
                break;
            }
            ensure!(moment < MOST_MOMENTS || !is_long, "not aligned: {rows:?}");
        }
        self.until_resets(1)
    }

    /// It asks so many times, on one connection for as long as that lasts.
    fn curl(&self, requests: usize) -> Result<Program> {
        let url = format!("http://{}/", self.bench.place.target());
        let urls = vec![&*url; requests];
        Program::start("curl", &[&["-sS", "--rate", PER_MINUTE], &*urls].concat())
    }

    /// Both ends say so while nothing was reset, and for how long the server waits, as the trial measures it on a socket of its own.
    fn is_misaligned(&self, mut load: impl FnMut() -> Result<()>) -> Result<()> {
        let rows = wait::until("both ends to say that it is misaligned", || {
            load()?;
            let rows = rows(self.bench)?;
            let is_so = |row: &TimeoutView| row.verdict == "misaligned" && server_of(row).is_some();
            Ok(if rows.len() == 2 && rows.iter().all(is_so) { Ok(rows) } else { Err(format!("{rows:?}")) })
        })?;
        self.until_resets(0)?;
        let place = self.bench.place;
        let (client, served) = Moment::of(|| http(&place))?;
        let ((), ended) = Moment::of(|| client.until_ended())?;
        let measured = ended.after.saturating_sub(served.after).as_secs_f64();
        for row in &rows {
            let inferred = server_of(row).context("no timeout")?;
            let off = (inferred - measured).abs();
            ensure!(
                off <= (measured * 0.05).max(0.3),
                "{inferred} s inferred and {measured} s measured: {row:?}"
            );
        }
        Ok(())
    }

    /// The server closes the only connection, whose client asks once more before it hears of that.
    fn lose(&mut self, ask: impl FnOnce() -> Result<()>) -> Result<()> {
        let ports = self.connections()?;
        let [port] = ports[..] else { bail!("not one connection: {ports:?}") };
        let service = self.bench.place.port;
        self.joined.believe(["02:00:00:00:77:ff", Joined::LINKS[1]])?;
        self.joined.two.enter(|| {
            let in_vain = counter("TCPTimeouts")?;
            oracle::until_state(service, port, state::FIN_WAIT1)?;
            wait::until_true("a FIN to be in vain", || Ok(counter("TCPTimeouts")? >= in_vain + IN_VAIN))
        })?;
        self.joined.believe(Joined::LINKS)?;
        ask()?;
        self.bench.reset(port, Role::Server, "idle_reuse");
        self.until_resets(1)
    }

    /// Client ports of what the clients have open.
    fn connections(&self) -> Result<Vec<u16>> {
        oracle::connected_to(self.bench.place.port)
    }

    fn until_alone(&self) -> Result<()> {
        wait::until_true("nothing to be open", || Ok(self.connections()?.is_empty()))
    }

    /// Either end has seen so many, and no more.
    fn until_resets(&self, number: u64) -> Result<()> {
        for role in [Role::Client, Role::Server] {
            wait::until("resets to be counted", || {
                let counts = self.bench.counts(role)?;
                Ok(if counts.reset >= number { Ok(()) } else { Err(format!("{counts:?}")) })
            })?;
            ensure!(self.bench.counts(role)?.reset == number, "{:?}", self.bench.counts(role)?);
        }
        Ok(())
    }
}

fn is_answered(pool: &mut Scripted) -> Result<()> {
    let word = pool.ask("get")?;
    ensure!(word.word(0)? == "response", "not what was answered: {word:?}");
    Ok(())
}

/// The timeout that was inferred of the server, in seconds.
fn server_of(row: &TimeoutView) -> Option<f64> {
    let side = if row.role == "server" { &row.local } else { &row.remote };
    side.timeouts.first().map(|timeout| timeout.seconds)
}
