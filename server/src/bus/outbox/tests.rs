//! What the outbox gives to each medium, and when.

use super::*;
use crate::bus::{ENVELOPE_BYTES, QUEUE_BYTES, QUEUE_ITEMS};
use std::sync::atomic::Ordering;

fn outbox() -> Outbox {
    over(1)
}

/// An outbox over so many media, all of which work.
fn over(media: usize) -> Outbox {
    let names = (0..media).map(|medium| format!("redis {medium}"));
    let outbox = Outbox::new("own".into(), "chat".into(), Media::new(names), Arc::default());
    let now = Instant::now();
    (0..media).for_each(|medium| outbox.note(|media| work(media, medium, now)));
    outbox
}

fn work(media: &mut Media, medium: usize, now: Instant) {
    media.connected(medium, true);
    media.subscribed(medium, now);
    media.echoed(medium, now);
}

impl Outbox {
    /// Takes what goes through the first medium.
    fn take_first(&self, heartbeat: bool) -> Vec<Parcel> {
        self.take(0, heartbeat, Instant::now())
    }

    /// The same, and it arrives.
    fn arrive_first(&self, heartbeat: bool) -> Vec<Parcel> {
        let parcels = self.take_first(heartbeat);
        parcels.iter().for_each(|parcel| self.settled(parcel));
        parcels
    }

    fn medium_of(&self, node: &str) -> usize {
        self.targets.read().by_id[&node.into()].queue.lock().medium
    }
}

fn item(user: u64) -> Item {
    Item::Yielded { user }
}

fn event(bytes: usize) -> Item {
    Item::Event { event: "x".repeat(bytes), users: vec![] }
}

fn parcel(node: &str, number: u64, items: &[Item]) -> Parcel {
    let channel = format!("chat:node:{node}").into();
    Parcel { to: node.into(), channel, number, items: items.to_vec().into(), tries: 0 }
}

#[test]
fn queued_items_share_one_envelope_in_order() {
    let outbox = outbox();
    outbox.send(&"a".into(), item(1));
    outbox.send(&"a".into(), item(2));
    assert_eq!(outbox.arrive_first(false), [parcel("a", 1, &[item(1), item(2)])]);
    outbox.send(&"a".into(), item(3));
    assert_eq!(outbox.arrive_first(false), [parcel("a", 2, &[item(3)])]);
    assert_eq!(outbox.arrive_first(false), []);
}

#[test]
fn heartbeats_repeat_the_newest_number_to_peers_and_self() {
    let outbox = outbox();
    outbox.set_peers(&["a".into()]);
    outbox.send(&"a".into(), item(1));
    outbox.send(&"stranger".into(), item(2));
    outbox.arrive_first(false);

    let mut parcels = outbox.arrive_first(true);
    parcels.sort_by(|one, other| one.channel.cmp(&other.channel));
    assert_eq!(parcels, [parcel("a", 1, &[]), parcel("own", 0, &[])]);
}

#[test]
fn full_queue_costs_one_number_behind_what_it_held() {
    let outbox = outbox();
    for user in 0..QUEUE_ITEMS as u64 + 3 {
        outbox.send(&"a".into(), item(user));
    }
    assert_eq!(outbox.stats.dropped_items.load(Ordering::Relaxed), 3);

    let mut next = 0;
    let mut parcels: VecDeque<_> = outbox.arrive_first(false).into();
    while let Some(parcel) = parcels.pop_front() {
        if parcel.items.is_empty() {
            break;
        }
        // Items that come while the queue still holds older ones are dropped too: they stand behind the gap.
        outbox.send(&"a".into(), item(0));
        for item in parcel.items {
            assert_eq!(item, Item::Yielded { user: next });
            next += 1;
        }
        parcels.extend(outbox.arrive_first(false));
    }
    assert_eq!(next, QUEUE_ITEMS as u64);
    assert!(!outbox.targets.read().by_id[&"a".into()].queue.lock().is_ready());
}

#[test]
fn envelopes_and_queues_are_bounded_in_bytes() {
    let outbox = outbox();
    let large = ENVELOPE_BYTES / 4;
    for _ in 0..2 * QUEUE_BYTES / large {
        outbox.send(&"a".into(), event(large));
    }
    assert!(outbox.stats.dropped_items.load(Ordering::Relaxed) > 0);
    let parcel = outbox.arrive_first(false).remove(0);
    assert_eq!(parcel.items.len(), 4);
}

#[test]
fn item_too_large_for_any_queue_becomes_a_gap() {
    let outbox = outbox();
    outbox.send(&"a".into(), event(QUEUE_BYTES));
    assert_eq!(outbox.arrive_first(false), [parcel("a", 1, &[])]);
}

#[tokio::test]
async fn what_is_left_over_signals_again() {
    let outbox = outbox();
    for _ in 0..3 {
        outbox.send(&"a".into(), event(ENVELOPE_BYTES));
    }
    for number in 1..=3 {
        outbox.ready(0).await;
        assert_eq!(outbox.arrive_first(false)[0].number, number);
    }
}

#[test]
fn forgotten_node_is_never_sent_an_old_number() {
    let outbox = outbox();
    outbox.set_peers(&["a".into()]);
    for _ in 0..5 {
        outbox.send(&"a".into(), item(1));
        outbox.arrive_first(false);
    }
    outbox.set_peers(&[]);
    assert!(!outbox.targets.read().by_id.contains_key(&"a".into()));

    outbox.send(&"a".into(), item(2));
    assert_eq!(outbox.arrive_first(false), [parcel("a", 6, &[item(2)])]);
}

#[test]
fn failed_envelope_goes_again_through_another_medium_before_what_follows() {
    let outbox = over(2);
    let now = Instant::now();
    outbox.send(&"a".into(), item(1));
    let (first, other) = (outbox.medium_of("a"), 1 - outbox.medium_of("a"));
    let failing = outbox.take(first, false, now).remove(0);
    outbox.send(&"a".into(), item(2));
    assert_eq!(outbox.take(first, false, now), [], "one is under way");

    outbox.note(|media| media.connected(first, false));
    assert_eq!(outbox.take(other, false, now), [], "nobody knows yet what became of it");
    assert!(!outbox.failed(failing));

    let again = outbox.take(other, false, now).remove(0);
    assert_eq!((again.number, again.items.len(), again.tries), (1, 1, 1));
    outbox.settled(&again);
    assert_eq!(outbox.take(other, false, now), [parcel("a", 2, &[item(2)])]);
}

#[test]
fn envelope_is_given_up_once_every_medium_had_its_try() {
    let outbox = over(2);
    outbox.send(&"a".into(), item(1));
    for is_given_up in [false, true] {
        let failing = outbox.take(outbox.medium_of("a"), false, Instant::now()).remove(0);
        assert_eq!(outbox.failed(failing), is_given_up);
    }
    outbox.send(&"a".into(), item(2));
    assert_eq!(outbox.take(outbox.medium_of("a"), false, Instant::now()), [parcel("a", 2, &[item(2)])]);
}

#[test]
fn heartbeats_of_other_media_claim_only_what_was_sent_a_heartbeat_ago() {
    let outbox = over(2);
    outbox.set_peers(&["a".into()]);
    let (chosen, other) = (outbox.medium_of("a"), 1 - outbox.medium_of("a"));
    let beat = |medium: usize| {
        let parcels = outbox.take(medium, true, Instant::now());
        parcels.iter().for_each(|parcel| outbox.settled(parcel));
        let to_a = |parcel: &&Parcel| parcel.to == "a".into();
        parcels.iter().find(to_a).map(|parcel| (parcel.number, parcel.items.len())).expect("a heartbeat to a")
    };
    beat(chosen);
    outbox.send(&"a".into(), item(1));
    assert_eq!(beat(chosen), (1, 1));
    assert_eq!(beat(other), (0, 0));
    assert_eq!(beat(chosen), (1, 0));
    assert_eq!(beat(other), (0, 0), "it may have been sent only just before");
    assert_eq!(beat(chosen), (1, 0));
    assert_eq!(beat(other), (1, 0));
}

#[test]
fn medium_that_does_not_work_gets_heartbeats_to_this_node_alone() {
    let outbox = over(2);
    outbox.set_peers(&["a".into()]);
    let broken = outbox.medium_of("a");
    outbox.note(|media| media.unsubscribed(broken));
    assert_ne!(outbox.medium_of("a"), broken);

    let to: Vec<NodeId> = outbox.take(broken, true, Instant::now()).into_iter().map(|parcel| parcel.to).collect();
    assert_eq!(to, ["own".into()]);
}

#[test]
fn envelope_that_nobody_listened_to_goes_where_the_node_is_heard() {
    let outbox = over(2);
    let now = Instant::now();
    outbox.set_peers(&["a".into()]);
    (0..2).for_each(|medium| outbox.heard(&"a".into(), medium, now));
    outbox.reroute(now);
    let first = outbox.medium_of("a");
    outbox.send(&"a".into(), item(1));
    let unheard = outbox.take(first, false, now).remove(0);

    outbox.unheard(&"a".into(), first, now);
    outbox.failed(unheard);

    assert_eq!(outbox.take(1 - first, false, now).remove(0).number, 1);
}
