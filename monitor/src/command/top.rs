//! `reset-monitor top`: peers, and what is wrong with one of them, live in a terminal, over the API.
//!
//! [`input`] reads keys, [`fetch`] asks the daemon, [`state`] is what follows from both, and [`draw`] shows it. This file only passes things on.

pub mod column;
pub mod draw;
pub mod fetch;
pub mod histogram;
pub mod input;
pub mod peer;
pub mod picture;
pub mod screen;
pub mod search;
pub mod state;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use crossterm::event::EventStream;
use futures_util::StreamExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::draw::palette::Palette;
use self::screen::Screen;
use self::state::{Next, State};
use super::client::{Server, ServerArgs};
use crate::cli::help::Help;
use crate::clock;
use crate::terminal::Medium;

/// What `top --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("reset-monitor top", "of this host"),
        ("reset-monitor top --interval 0.5", "asked twice a second"),
        ("reset-monitor top --server node-7:9777", "of another one"),
    ],
    notes: "\
Keys:
  arrows, j k, PgUp PgDn, Home End   move
  Enter        all about a peer: verdict, fix, idle times, timeouts, events
  < >          the column to sort by; r the other way round
  /            only some peers: 10.0.0.0/24, 10.0.0.5:8080, :443, client, or a
               part such as idle
  p or space   pause
  ? or F1      help
  q or Esc     back, then out",
};

/// News that wait for the screen. About 1 kB each, or one answer of 100 kB.
const QUEUE: usize = 256;
/// Time between two frames: more than twenty in a second are for nobody, and a slow line has to carry them.
const FRAME: Duration = Duration::from_millis(50);
/// Ages on the screen grow by the second.
const TICK: Duration = Duration::from_secs(1);

/// `reset-monitor top`
#[derive(Clone, Debug, clap::Args)]
pub struct TopArgs {
    /// Seconds between two questions to the daemon
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = parse_interval)]
    pub interval: Duration,
    /// Which daemon
    #[command(flatten)]
    pub server: ServerArgs,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.2..=3_600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "give seconds between 0.2 and 3600".to_owned())
}

/// Shows peers until somebody has seen enough.
pub async fn run(args: &TopArgs) -> anyhow::Result<()> {
    let server = Arc::new(Server::new(&args.server)?);
    Screen::check()?;
    let mut signals = Signals::new()?;
    let palette = Palette::new(Medium::stdout().colour);
    let mut screen = Screen::open().context("prepare the terminal")?;
    let size = screen.size().context("ask the terminal for its size")?;
    let mut state = State::new(&args.server.server, args.interval, size, clock::monotonic());

    let (want, wanted) = watch::channel(state.wanted());
    let (sender, mut news) = mpsc::channel(QUEUE);
    let mut tasks = JoinSet::new();
    tasks.spawn(fetch::pictures(Arc::clone(&server), wanted.clone(), args.interval, sender.clone()));
    tasks.spawn(fetch::details(server, wanted, args.interval, sender));

    let mut keys = EventStream::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pause = Box::pin(sleep(Duration::ZERO));
    let mut is_stale = true;
    loop {
        tokio::select! {
            // Keys before news: whoever wants to leave a storm of events can.
            biased;
            () = signals.end() => return Ok(()),
            event = keys.next() => match event {
                Some(Ok(event)) => if let Some(input) = input::read(&event) {
                    if state.input(input) == Next::Quit {
                        return Ok(());
                    }
                    is_stale = true;
                },
                Some(Err(error)) => return Err(error).context("read keys from the terminal"),
                // The terminal was closed.
                None => return Ok(()),
            },
            ended = tasks.join_next() => return Err(match ended {
                Some(Err(error)) => anyhow!(error).context("a task of top failed"),
                Some(Ok(())) | None => anyhow!("a task of top ended by itself"),
            }),
            () = &mut pause, if is_stale => {
                let mut most = 0;
                let drawn = screen.draw(|frame| most = draw::draw(frame, &state, palette));
                drawn.context("write to the terminal")?;
                state.limit_scroll(most);
                is_stale = false;
                pause = Box::pin(sleep(FRAME));
            }
            Some(first) = news.recv() => {
                state.news(first);
                is_stale = true;
            }
            _ = tick.tick() => is_stale = true,
        }
        state.now = clock::monotonic();
        want.send_if_modified(|wanted| {
            let now = state.wanted();
            let is_new = *wanted != now;
            *wanted = now;
            is_new
        });
    }
}

/// What ends the program from outside.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let wait = |kind| signal(kind).context("wait for signals");
        Ok(Self([
            wait(SignalKind::terminate())?,
            wait(SignalKind::interrupt())?,
            wait(SignalKind::hangup())?,
        ]))
    }

    async fn end(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
