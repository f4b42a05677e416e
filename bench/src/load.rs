//! The loads: real connections over loopback, both ends here, in a namespace of their own, as fast as they go.
//!
//! A worker is a thread that plays both ends of one connection after the other: nothing is handed to another thread, so
//! an operation's time is its system calls and what the kernel does in them, and no scheduler decides about it.

mod operation;
mod packet;

use std::panic::resume_unwind;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use self::operation::Ends;
use crate::clock;
use crate::interrupt;
use crate::machine;
use crate::netns::Namespace;

/// Operations between two looks at the clock.
const STRIDE: u64 = 16;
/// The part of a burst that goes before it: caches, peers and the branch predictor settle.
const WARM_UP: u32 = 10;
/// A paced load works in ticks of this length.
const TICK: Duration = Duration::from_millis(5);

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Load {
    /// Connections with one exchange; the client closes first
    ClientCloses,
    /// Connections with one exchange; the server closes first
    ServerCloses,
    /// Connections with one exchange that the client ends by a reset (`SO_LINGER` 0)
    Linger,
    /// Connections with one exchange and a second request that the server closes without reading it, which is a reset
    Unread,
    /// Connection attempts to a port where nobody listens
    Refused,
    /// The same from a raw socket: the highest storm that this machine can make
    Storm,
}

impl Load {
    /// In the order of the report.
    pub(crate) const ALL: [Self; 6] =
        [Self::ClientCloses, Self::ServerCloses, Self::Linger, Self::Unread, Self::Refused, Self::Storm];

    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ClientCloses => "connections, client closes first",
            Self::ServerCloses => "connections, server closes first",
            Self::Linger => "resets, client closes with SO_LINGER 0",
            Self::Unread => "resets, server closes with a request unread",
            Self::Refused => "refusals, connect() to a closed port",
            Self::Storm => "refusals, raw SYNs to a closed port",
        }
    }
}

/// What one worker does in one stretch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Which operations.
    pub(crate) load: Load,
    /// Operations per second; `None` is as fast as they go.
    pub(crate) rate: Option<u32>,
}

/// What one burst did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    /// Operations of all workers.
    pub(crate) operations: u64,
    /// From the first worker's start to the last one's end.
    pub(crate) wall: Duration,
    /// CPU time of the workers, with the softirqs that ran in their context where the kernel charges them to it.
    pub(crate) cpu: Duration,
}

impl Burst {
    /// CPU time per operation, in microseconds, with what something else took for it.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people and ratios")]
    pub(crate) fn cpu_us(&self, others: Duration) -> f64 {
        (self.cpu + others).as_secs_f64() * 1e6 / self.operations as f64
    }

    /// Operations per second.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people and ratios")]
    pub(crate) fn rate(&self) -> f64 {
        self.operations as f64 / self.wall.as_secs_f64()
    }
}

/// Where loads are made: a fresh namespace, and both ends of every worker in it.
#[derive(Debug)]
pub(crate) struct Ground {
    /// Where tools that look at an interface have to be.
    pub(crate) namespace: Namespace,
    workers: Vec<Ends>,
}

impl Ground {
    /// For so many workers.
    pub(crate) fn create(workers: u16) -> Result<Self> {
        let namespace = Namespace::create()?;
        let workers = namespace.enter(|| (0..workers).map(Ends::open).collect())?;
        Ok(Self { namespace, workers })
    }

    /// What goes before a burst, untimed.
    pub(crate) fn warm_up(&mut self, load: Load, length: Duration) -> Result<()> {
        self.burst(load, length / WARM_UP).map(drop)
    }

    /// All workers make one load for about this long, as fast as it goes.
    pub(crate) fn burst(&mut self, load: Load, length: Duration) -> Result<Burst> {
        let plans = vec![Plan { load, rate: None }; self.workers.len()];
        let mut sum = Burst { operations: 0, wall: Duration::ZERO, cpu: Duration::ZERO };
        for burst in self.run(&plans, length)? {
            sum.operations += burst.operations;
            sum.wall = sum.wall.max(burst.wall);
            sum.cpu += burst.cpu;
        }
        Ok(sum)
    }

    /// One plan per worker, each on a CPU of its own as long as there are enough.
    pub(crate) fn run(&mut self, plans: &[Plan], length: Duration) -> Result<Vec<Burst>> {
        let namespace = &self.namespace;
        let cpus = usize::from(machine::cpus()?);
        let gate = &Barrier::new(plans.len());
        let bursts = thread::scope(|scope| {
            let working: Vec<_> = (self.workers.iter_mut().zip(plans).enumerate())
                .map(|(cpu, (ends, plan))| {
                    scope.spawn(move || {
                        let ready = namespace.join().and_then(|()| pin(cpu % cpus));
                        gate.wait();
                        ready?;
                        work(*plan, ends, length)
                    })
                })
                .collect();
            let bursts =
                working.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
            bursts.collect::<Result<Vec<_>>>()
        })?;
        interrupt::check()?;
        Ok(bursts)
    }

    /// Makes so many connections, each from an address of its own to another, that end by a reset: two peers each, one in
    /// either role.
    pub(crate) fn populate(&mut self, connections: u32) -> Result<()> {
        let ends = self.workers.first_mut().context("no worker")?;
        self.namespace.enter(|| {
            for number in 0..connections {
                ends.connect_between_own_addresses(number).with_context(|| format!("peer {number}"))?;
                interrupt::check()?;
            }
            Ok(())
        })
    }
}

fn work(plan: Plan, ends: &mut Ends, length: Duration) -> Result<Burst> {
    let Plan { load, rate } = plan;
    let (begin, cpu) = (clock::start(), thread_cpu());
    let mut operations = 0;
    loop {
        let due = match rate {
            None => STRIDE,
            Some(rate) => {
                clock::nap(TICK);
                let until_now = u128::from(rate) * begin.elapsed().as_millis() / 1000;
                u64::try_from(until_now).unwrap_or(u64::MAX).saturating_sub(operations)
            }
        };
        for _ in 0..due {
            ends.operate(load).with_context(|| format!("{}, operation {operations}", load.name()))?;
        }
        operations += due;
        let wall = begin.elapsed();
        if wall >= length || interrupt::is_set() {
            return Ok(Burst { operations, wall, cpu: thread_cpu().saturating_sub(cpu) });
        }
    }
}

/// Two CPUs then do not wait for each other, and the scheduler moves nobody.
fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("cannot move to CPU {cpu}"))
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
