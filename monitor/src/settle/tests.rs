//! Settling: order, joining of both ends, and bounds.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn told(id: u64, kind: Kind, local: &str, remote: &str, verdict: Verdict) -> Told {
    let event = Event {
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        netns: 1,
        ..Event::of_kind(kind)
    };
    Told { id, event, verdict: Some(verdict), burst: None }
}

fn received(id: u64) -> Told {
    let verdict = Verdict::of(Cause::PeerAbort, Confidence::Likely, &[], None).provisional();
    told(id, Kind::ResetReceived, "10.0.0.1:4000", "10.0.0.2:80", verdict)
}

fn sent(id: u64) -> Told {
    let verdict = Verdict::of(Cause::LingerAbort, Confidence::Certain, &[], None);
    told(id, Kind::ResetSent, "10.0.0.2:80", "10.0.0.1:4000", verdict)
}

/// What came out: `+` shown, `~` revised, `=` final.
#[derive(Default)]
struct Log(Vec<String>);

impl Log {
    fn take(&mut self) -> impl FnMut(Settled) + '_ {
        |settled| {
            let (sign, told) = match settled {
                Settled::Shown(told) => ('+', told),
                Settled::Revised(told) => ('~', told),
                Settled::Final(told) => ('=', told),
                Settled::InBurst(told) => ('*', told),
            };
            let cause = told.verdict.map_or("none", |verdict| verdict.cause.name());
            let question = if told.is_final() { "" } else { "?" };
            self.0.push(format!("{sign}{} {cause}{question}", told.id));
        }
    }

    fn since(&mut self) -> Vec<String> {
        std::mem::take(&mut self.0)
    }
}

#[test]
fn the_receiver_gets_its_senders_cause_whichever_was_first() {
    let (mut settler, mut log) = (Settler::default(), Log::default());
    settler.push(received(1), MS, &mut log.take());
    assert!(log.since().is_empty(), "it waits for its other end");
    settler.push(sent(2), MS, &mut log.take());
    assert_eq!(log.since(), ["=1 linger_abort", "=2 linger_abort", "+1 linger_abort", "+2 linger_abort"]);
    settler.advance(5 * HOLD, &mut log.take());
    assert!(log.since().is_empty());
    assert_eq!(settler.deadline(), None);

    settler.push(sent(3), 5 * HOLD, &mut log.take());
    settler.push(received(4), 5 * HOLD, &mut log.take());
    assert_eq!(log.since(), ["=3 linger_abort", "+3 linger_abort", "=4 linger_abort", "+4 linger_abort"]);
}

#[test]
fn one_without_other_end_is_shown_soon_and_final_after_the_hold() {
    let (mut settler, mut log) = (Settler::default(), Log::default());
    settler.push(received(1), MS, &mut log.take());
    assert_eq!(settler.deadline(), Some(MS + GRACE));
    settler.advance(MS + GRACE, &mut log.take());
    assert_eq!(log.since(), ["+1 peer_abort?"]);
    assert_eq!(settler.deadline(), Some(MS + HOLD));
    settler.advance(HOLD, &mut log.take());
    assert!(log.since().is_empty());
    settler.advance(MS + HOLD, &mut log.take());
    assert_eq!(log.since(), ["~1 peer_abort", "=1 peer_abort"]);
    settler.push(sent(2), 2 * HOLD, &mut log.take());
    assert_eq!(log.since(), ["=2 linger_abort", "+2 linger_abort"], "too late to tell the receiver");
}

#[test]
fn a_verdict_that_comes_after_the_showing_revises_it() {
    let (mut settler, mut log) = (Settler::default(), Log::default());
    settler.push(received(1), MS, &mut log.take());
    settler.advance(100 * MS, &mut log.take());
    log.since();
    settler.push(sent(2), 200 * MS, &mut log.take());
    assert_eq!(log.since(), ["~1 linger_abort", "=1 linger_abort", "=2 linger_abort", "+2 linger_abort"]);
}

#[test]
fn nothing_overtakes_an_event_that_waits_to_be_shown() {
    let (mut settler, mut log) = (Settler::default(), Log::default());
    let other = told(2, Kind::RefusedSent, "10.0.0.2:81", "10.0.0.1:4001", sent(2).verdict.unwrap());
    settler.push(received(1), MS, &mut log.take());
    settler.push(other, 2 * MS, &mut log.take());
    assert_eq!(log.since(), ["=2 linger_abort"], "counted at once");
    settler.finish(&mut log.take());
    assert_eq!(log.since(), ["=1 peer_abort", "+1 peer_abort", "+2 linger_abort"]);
}

#[test]
fn loopback_addresses_of_two_namespaces_are_no_two_ends() {
    let (mut settler, mut log) = (Settler::default(), Log::default());
    let on_loopback = |mut told: Told, netns: u32| {
        told.event.local.set_ip([127, 0, 0, 1].into());
        told.event.remote.set_ip([127, 0, 0, 1].into());
        told.event.netns = netns;
        told
    };
    settler.push(on_loopback(sent(1), 1), MS, &mut log.take());
    settler.push(on_loopback(received(2), 2), MS, &mut log.take());
    settler.finish(&mut log.take());
    assert_eq!(log.since().last().unwrap(), "+2 peer_abort");
}

#[test]
fn an_orphans_reset_that_was_held_for_seconds_still_gets_its_senders_cause() {
    let (mut settler, mut log) = (Settler::default(), Log::default());
    settler.push(sent(1), MS, &mut log.take());
    settler.push(received(2), 2 * HOLD, &mut log.take());
    assert_eq!(log.since().last().unwrap(), "+2 linger_abort");
}

#[test]
fn a_reset_that_is_a_stray_to_its_sender_tells_the_receiver_why_it_was_sent() {
    let (mut settler, mut log) = (Settler::default(), Log::default());
    let overflow = Verdict::of(Cause::ListenOverflow, Confidence::Certain, &[], None);
    settler.push(told(1, Kind::StraySent, "10.0.0.2:80", "10.0.0.1:4000", overflow), MS, &mut log.take());
    settler.push(received(2), MS, &mut log.take());
    assert_eq!(log.since().last().unwrap(), "+2 listen_overflow");
}

#[test]
fn the_next_connection_between_the_same_ends_waits_for_a_reset_of_its_own() {
    let (mut settler, mut log) = (Settler::default(), Log::default());
    let counted = |id| {
        let mut told = sent(id);
        told.event.counted = Some(crate::event::Counted::Aborted);
        told
    };
    settler.push(counted(1), MS, &mut log.take());
    settler.push(received(2), MS, &mut log.take());
    settler.push(sent(3), MS, &mut log.take());
    log.since();
    settler.push(received(4), 2 * MS, &mut log.take());
    assert!(log.since().is_empty(), "neither the first connection's reset nor its repetition is this one's");
    let mut told = Vec::new();
    settler.push(counted(5), 2 * MS, &mut |settled| told.push(settled));
    let Some(Settled::Final(four)) = told.first() else { panic!("not final") };
    assert_eq!((four.id, four.verdict.unwrap().other_end), (4, Some(5)));
}

#[test]
fn orphans_with_the_same_ports_get_each_the_reset_of_their_own_time() {
    let (mut settler, mut joined) = (Settler::default(), Vec::new());
    let at = |mut told: Told, milliseconds: u64| {
        told.event.counted = Some(crate::event::Counted::Aborted);
        told.event.monotonic_ns = milliseconds * 1_000_000;
        told
    };
    settler.push(at(sent(1), 100), 100 * MS, &mut |_| {});
    settler.push(at(sent(2), 600), 600 * MS, &mut |_| {});
    for (id, time) in [(3, 101), (4, 601)] {
        settler.push(at(received(id), time), 2 * HOLD, &mut |settled| {
            if let Settled::Final(told) = settled {
                joined.push(told.verdict.unwrap().other_end);
            }
        });
    }
    assert_eq!(joined, [Some(1), Some(2)]);
}

#[test]
fn an_unsure_sender_does_not_overrule_the_receiver_but_is_named_and_its_doubt_is_shared() {
    for (cause, confidence) in
        [(Cause::Other, Confidence::Likely), (Cause::MemoryPressure, Confidence::Possible)]
    {
        let (mut settler, mut shown) = (Settler::default(), Vec::new());
        let unsure = Verdict::of(cause, Confidence::Possible, &[], None);
        settler.push(Told { verdict: Some(unsure), ..sent(1) }, MS, &mut |_| {});
        settler.push(received(2), MS, &mut |settled| shown.push(settled));
        let Some(Settled::Shown(told)) = shown.last() else { panic!("not shown") };
        let verdict = told.verdict.unwrap();
        assert_eq!((verdict.cause, verdict.other_end), (Cause::PeerAbort, Some(1)));
        assert_eq!(verdict.confidence, confidence, "{cause:?}");
        assert!(verdict.evidence.has(Fact::OtherEnd));
    }
}

#[test]
fn a_flood_is_settled_early_and_every_event_is_shown_once_and_final_once() {
    let mut settler = Settler::default();
    let (mut shown, mut finals) = (Vec::new(), Vec::new());
    let mut out = |settled| match settled {
        Settled::Shown(told) => shown.push(told.id),
        Settled::Final(told) => finals.push(told.id),
        Settled::Revised(_) | Settled::InBurst(_) => {}
    };
    let flood = 3 * ROOM as u64;
    for id in 1..=flood {
        settler.push(if id % 3 == 0 { sent(id) } else { received(id) }, MS, &mut out);
        assert!(settler.queue.len() <= ROOM && settler.senders_by_age.len() <= ROOM);
    }
    settler.finish(&mut out);
    assert!(settler.received.is_empty(), "{:?}", settler.received);
    finals.sort_unstable();
    let all: Vec<_> = (1..=flood).collect();
    assert_eq!(shown, all);
    assert_eq!(finals, all);
}

#[test]
fn of_two_resets_from_one_end_the_flags_tell_which_was_received() {
    use crate::event::Segment;
    let segment = |flags| Some(Segment { flags, bytes: 0, ttl: 64, ifindex: 1, sequence_distance: None });
    let with = |mut told: Told, flags| {
        told.event.segment = segment(flags);
        told
    };
    // Closed with data unread, by a reset that acknowledges; then data that came late was answered by one that does not.
    let first = |id| {
        let mut first = sent(id);
        (first.event.active, first.event.counted) = (true, Some(crate::event::Counted::Reset));
        first
    };
    let second = |id| with(sent(id), 0x18);
    for (flags, answers) in [(0x14, false), (0x04, true)] {
        for order in [[1, 2, 3], [2, 3, 1]] {
            let [first_id, second_id, received_id] = order;
            let mut events = [first(first_id), second(second_id), with(received(received_id), flags)];
            events.sort_by_key(|told| told.id);
            let (mut settler, mut joined) = (Settler::default(), None);
            let mut out = |settled| match settled {
                Settled::Final(told) if told.id == received_id => joined = told.verdict.unwrap().other_end,
                Settled::Final(_) | Settled::Shown(_) | Settled::Revised(_) | Settled::InBurst(_) => {}
            };
            for told in events {
                settler.push(told, MS, &mut out);
            }
            settler.finish(&mut out);
            assert_eq!(joined, Some(if answers { second_id } else { first_id }), "{flags:#x} {order:?}");
        }
    }
    let (mut settler, mut finals) = (Settler::default(), Vec::new());
    settler.push(first(1), MS, &mut |_| {});
    settler.push(with(received(3), 0x04), MS, &mut |_| {});
    settler.finish(&mut |settled| finals.push(settled));
    assert!(
        finals.iter().all(|settled| match settled {
            Settled::Final(told) | Settled::Shown(told) => told.verdict.unwrap().other_end.is_none(),
            Settled::Revised(_) | Settled::InBurst(_) => true,
        }),
        "a forged one has no sender here"
    );
}

#[test]
fn a_refusal_by_a_local_rule_is_the_rules_and_any_other_is_nobodys() {
    let refusal = Verdict::of(Cause::Refused, Confidence::Certain, &[], None);
    let reject = Verdict::of(Cause::NetfilterReject, Confidence::Certain, &[], None);
    for (kind, verdict, expected) in [
        (Kind::RejectSent, reject, ("netfilter_reject", Some(1))),
        (Kind::ResetSent, Verdict { cause: Cause::LingerAbort, ..reject }, ("refused", None)),
    ] {
        let (mut settler, mut shown) = (Settler::default(), None);
        settler.push(told(1, kind, "10.0.0.2:80", "10.0.0.1:4000", verdict), MS, &mut |_| {});
        let refused = told(2, Kind::RefusedReceived, "10.0.0.1:4000", "10.0.0.2:80", refusal);
        settler.push(refused, MS, &mut |settled| {
            if let Settled::Shown(told) = settled {
                shown = told.verdict.map(|verdict| (verdict.cause.name(), verdict.other_end));
            }
        });
        assert_eq!(shown, Some(expected), "{kind:?}");
    }
}

#[test]
fn a_reset_that_was_lost_lends_its_certainty_to_the_one_that_arrived() {
    let (mut settler, mut log) = (Settler::default(), Vec::new());
    let mut first = sent(1);
    (first.event.active, first.event.counted) = (true, Some(crate::event::Counted::Aborted));
    let after = Verdict::of(Cause::LingerAbort, Confidence::Likely, &[Fact::Ended], None);
    let mut second = Told { verdict: Some(after), ..sent(2) };
    (first.event.monotonic_ns, second.event.monotonic_ns) = (1, 1_000_000);
    let mut arrived = received(3);
    arrived.event.monotonic_ns = 1_000_100;
    for told in [first, second, arrived] {
        settler.push(told, MS, &mut |settled| {
            if let Settled::Final(told) = settled {
                let verdict = told.verdict.unwrap();
                log.push((told.id, verdict.confidence, verdict.other_end));
            }
        });
    }
    assert_eq!(log.last(), Some(&(3, Confidence::Certain, Some(2))));
    assert_eq!(log[1], (2, Confidence::Likely, None), "its own verdict is what its own record says");
}

#[test]
fn a_reset_without_a_cause_of_its_own_has_that_of_the_one_before_it() {
    let (mut settler, mut last) = (Settler::default(), None);
    let mut first = sent(1);
    first.event.counted = Some(crate::event::Counted::Reset);
    first.verdict = first.verdict.map(|verdict| Verdict { cause: Cause::MemoryPressure, ..verdict });
    first.event.active = true;
    // The client asks back, and nobody is there any more.
    let nothing = Verdict::of(Cause::Other, Confidence::Possible, &[], None);
    let segment =
        |flags| Some(crate::event::Segment { flags, bytes: 0, ttl: 64, ifindex: 1, sequence_distance: None });
    let mut second = Told { verdict: Some(nothing), ..sent(2) };
    second.event.segment = segment(0x10);
    let mut arrived = received(3);
    arrived.event.segment = segment(0x04);
    for told in [first, second, arrived] {
        settler.push(told, MS, &mut |settled| {
            if let Settled::Final(told) = settled {
                let verdict = told.verdict.unwrap();
                last = Some((told.id, verdict.cause, verdict.confidence, verdict.other_end));
            }
        });
    }
    assert_eq!(last, Some((3, Cause::MemoryPressure, Confidence::Certain, Some(2))));
}

#[test]
fn the_end_of_one_wait_leaves_a_later_reset_between_the_same_ends_waiting() {
    let (mut settler, mut log) = (Settler::default(), Log::default());
    settler.push(received(1), Duration::ZERO, &mut log.take());
    settler.push(received(2), HOLD / 2, &mut log.take());
    settler.advance(HOLD, &mut log.take());
    log.since();
    settler.push(sent(3), HOLD, &mut log.take());
    assert!(log.since().contains(&"=2 linger_abort".to_owned()));
}

#[test]
fn on_loopback_another_namespaces_reset_is_not_in_the_way() {
    let (mut settler, mut log) = (Settler::default(), Log::default());
    let on_loopback = |mut told: Told, netns| {
        told.event.netns = netns;
        for end in [&mut told.event.local, &mut told.event.remote] {
            end.set_ip("127.0.0.1".parse().unwrap());
        }
        told
    };
    settler.push(on_loopback(received(1), 1), Duration::ZERO, &mut log.take());
    settler.push(on_loopback(received(2), 2), Duration::ZERO, &mut log.take());
    settler.push(on_loopback(sent(3), 1), MS, &mut log.take());
    assert!(log.since().contains(&"=1 linger_abort".to_owned()));
}
