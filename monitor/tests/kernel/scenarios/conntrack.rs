//! A full table of tracked connections: what cannot be tracked is dropped, and nobody is told.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use monitor::kernel::proc_net::sum_of_column;
use socket2::Protocol;

use super::reject::nft;
use crate::api::Api;
use crate::netns::{Namespace, sysctl};
use crate::sockets::{Family, Place};
use crate::wait;

/// The limit of every namespace, which only the first one may set.
const LIMIT: &str = "netfilter/nf_conntrack_max";
/// How many SYNs are to be dropped: the first, and one that TCP sends again.
const DROPS: u64 = 2;

/// Each packet that finds the table full is counted once, and counts stand still when there is room again. Needs the modules
/// `nf_conntrack` and `nft_ct`, and rules of a namespace's own.
pub(crate) fn full(api: &Api) -> Result<()> {
    let usual = fs::read_to_string(format!("/proc/sys/net/{LIMIT}")).context("no limit to set")?;
    let outcome = dropped(api);
    sysctl(LIMIT, usual.trim())?;
    outcome
}

fn dropped(api: &Api) -> Result<()> {
    let namespace = Namespace::create()?;
    let place = Place::on_loopback(Family::V4);
    namespace.enter(|| {
        nft("add table inet trial\n\
             add chain inet trial only { type filter hook input priority 0; }\n\
             add rule inet trial only ct state new accept\n")
    })?;
    let service = namespace.enter(|| place.listen())?;
    let pair = namespace.enter(|| {
        let pair = service.pair()?;
        // Both ways, or it would have to make room.
        pair.exchange(1)?;
        Ok(pair)
    })?;
    let (before, counted_before) = (namespace.enter(drops)?, counted(api)?);
    sysctl(LIMIT, "1")?;
    let late = namespace.enter(|| {
        let late = place.client_socket(Protocol::TCP, 0)?;
        late.set_nonblocking(true)?;
        ensure!(late.connect(&place.target().into()).is_err(), "connected at once");
        wait::until_true("dropped SYNs", || Ok(drops()? >= before + DROPS))?;
        Ok(late)
    })?;
    drop(late);
    let dropped = namespace.enter(drops)? - before;
    wait::until("as many drops by our count as by the kernel's", || {
        let found = counted(api)? - counted_before;
        Ok(if found == dropped { Ok(()) } else { Err(format!("{found} of {dropped}")) })
    })?;
    namespace.enter(|| pair.exchange(1))?;
    pair.finish();
    Ok(())
}

/// Packets that the namespace's connection tracking dropped.
fn drops() -> Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack")?;
    sum_of_column(&text, "drop").context("no drops in stat/nf_conntrack")
}

fn counted(api: &Api) -> Result<u64> {
    api.status()?.conntrack_full.context("no hook serves it")
}
