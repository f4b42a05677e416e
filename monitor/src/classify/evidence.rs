//! Evidence is what is there: rules name the facts they look at, and those that an event does not have led to nothing. Pure.

use crate::event::Event;
use crate::verdict::{Evidence, Fact};

/// Of these facts, those that the event has.
pub(super) fn known_in(event: &Event, facts: Evidence) -> Evidence {
    facts.facts().filter(|fact| is_known(event, *fact)).fold(Evidence::default(), Evidence::with)
}

/// Whether the event's JSON has anything there.
fn is_known(event: &Event, fact: Fact) -> bool {
    let socket = event.socket.as_ref();
    let segment = event.segment.as_ref();
    match fact {
        // That no socket was left is evidence, too.
        Fact::State
        | Fact::Kind
        | Fact::Active
        | Fact::Orphan
        | Fact::Fileless
        | Fact::Destroyed
        // Known to who joins the two ends.
        | Fact::OtherEnd => true,
        Fact::StateBefore => event.state_before.is_some(),
        Fact::Reason => event.reason.as_ref().is_some_and(|reason| reason.name.is_some()),
        Fact::FinBy => event.fin.is_some(),
        Fact::FinAge => event.fin.as_ref().is_some_and(|fin| fin.quiet.is_some()),
        Fact::IdleSeconds => event.idle.is_some(),
        Fact::SentAgo | Fact::ReceivedAgo | Fact::DataSegmentsIn => socket.is_some(),
        Fact::UnackedBytes => socket.is_some_and(|socket| socket.unacked_bytes.is_some()),
        Fact::UnreadBytes => socket.is_some_and(|socket| socket.unread_bytes.is_some()),
        Fact::LingerZero => socket.is_some_and(|socket| socket.linger_zero.is_some()),
        Fact::Probes => socket.is_some_and(|socket| socket.probes.is_some()),
        Fact::BytesOut => socket.is_some_and(|socket| socket.bytes_out.is_some()),
        Fact::SegmentFlags | Fact::SegmentBytes | Fact::SegmentTtl => segment.is_some(),
        Fact::SequenceDistance => segment.is_some_and(|segment| segment.sequence_distance.is_some()),
        Fact::PeersIdleCloses => event.peers_idle_closes.is_some(),
        Fact::BaselineTtl => event.baseline_ttl.is_some(),
        Fact::Backlog => event.backlog.is_some(),
        Fact::Ended => event.ended.is_some(),
        Fact::OwnerExiting => event.owner.is_some(),
        Fact::Stage => event.stage.is_some(),
    }
}
