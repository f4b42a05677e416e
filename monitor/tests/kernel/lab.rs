//! The lab: real programs that end connections, and what the daemon names as the cause.
//!
//! A scenario of ours knows every segment and compares every field. Here programs do what they do in production, so a trial states
//! what is true of each end: the cause, and so which look-alikes must not be named. What is named goes into the table of
//! `confusion.rs`. `bench` is how, the other modules are one program or one event each.

mod bench;
mod program;

mod apart;
mod haproxy;
mod link;
mod nat;
mod nginx;
mod node;
mod python;
mod restart;
mod unheard;
mod upload;

use anyhow::Result;

use crate::api::Api;
use crate::needs::Need;

/// A trial's name, as a sentence, what it needs, and what it does with the shared daemon.
pub(crate) type Experiment = (&'static str, Option<Need>, fn(&Api) -> Result<()>);

/// All of them.
pub(crate) fn trials() -> Vec<Experiment> {
    [
        nginx::EXPERIMENTS,
        upload::EXPERIMENTS,
        restart::EXPERIMENTS,
        unheard::EXPERIMENTS,
        haproxy::EXPERIMENTS,
        node::EXPERIMENTS,
        python::EXPERIMENTS,
        link::EXPERIMENTS,
        nat::EXPERIMENTS,
        apart::EXPERIMENTS,
    ]
    .concat()
}
