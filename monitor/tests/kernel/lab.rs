//! The lab: real programs that end connections, and what the daemon names as the cause.
//!
//! A scenario of ours knows every segment and compares every field. Here programs do what they do in production, so a trial states
//! what is true of each end: the cause, and so which look-alikes must not be named. What is named goes into the table of
//! `confusion.rs`. `bench` is how, the other modules are one program or one event each.

mod bench;
mod program;

mod anew;
mod apart;
mod forged;
mod haproxy;
mod in_the_middle;
mod keepalive;
mod link;
mod mixed;
mod nat;
mod nginx;
mod node;
mod oom;
mod orphan;
mod pooled;
mod pools;
mod probe;
mod python;
mod restart;
mod unheard;
mod upload;
mod used;

pub(crate) use self::program::Program;

use anyhow::Result;

use crate::api::Api;
use crate::needs::Need;

/// A trial's name, as a sentence, what it needs, and what it does with the shared daemon.
pub(crate) type Experiment = (&'static str, Option<Need>, fn(&Api) -> Result<()>);

/// Those that need no more than a kernel.
pub(crate) fn trials() -> Vec<Experiment> {
    [
        nginx::EXPERIMENTS,
        upload::EXPERIMENTS,
        restart::EXPERIMENTS,
        oom::EXPERIMENTS,
        anew::EXPERIMENTS,
        unheard::EXPERIMENTS,
        haproxy::EXPERIMENTS,
        node::EXPERIMENTS,
        python::EXPERIMENTS,
        keepalive::EXPERIMENTS,
        in_the_middle::EXPERIMENTS,
        pools::EXPERIMENTS,
        pooled::EXPERIMENTS,
        mixed::EXPERIMENTS,
        probe::EXPERIMENTS,
        link::EXPERIMENTS,
        forged::EXPERIMENTS,
    ]
    .concat()
}

/// Those that change a limit of the whole machine.
pub(crate) fn trials_alone() -> Vec<Experiment> {
    orphan::EXPERIMENTS.to_vec()
}

/// Those with a router between both ends whose rules need modules.
pub(crate) fn trials_with_a_router() -> Vec<Experiment> {
    [nat::EXPERIMENTS, apart::EXPERIMENTS].concat()
}

/// What they need.
pub(crate) const ROUTER_MODULES: [&str; 2] = ["nft_chain_nat", "nft_masq"];
