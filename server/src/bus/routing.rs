//! Which medium a channel's envelopes go through.
//!
//! Pure bookkeeping. A medium works while this node's own heartbeats come back through it: that proves the whole way,
//! there and back, where a connection that is merely open proves nothing. Since every node speaks only through media
//! that work for it, hearing a peer through one shows that the peer hears there, too. Each channel has an order of its
//! own (rendezvous hashing), so that channels spread over the media, and only those of a medium that is left move.

use super::UNHEARD_AFTER;
use crate::cluster::NodeId;
use sha2::{Digest as _, Sha256};
use std::cmp::Reverse;
use std::time::Duration;
use tokio::time::Instant;

/// The own heartbeat is out for this long: subscribe anew. Several heartbeats, so that a short stall costs nothing.
const ECHO_OVERDUE: Duration = Duration::from_secs(5);

/// What this node knows of each medium.
#[derive(Clone, Debug)]
pub(super) struct Media(Vec<State>);

#[derive(Clone, Debug)]
struct State {
    name: String,
    is_connected: bool,
    subscribed_at: Option<Instant>,
    echoed_at: Option<Instant>,
    /// An own heartbeat came back over the present connection and subscription.
    is_proved: bool,
}

/// When a node was last heard through each medium.
#[derive(Clone, Debug)]
pub(super) struct Heard(Box<[Option<Instant>]>);

impl Media {
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let state = |name| State { name, is_connected: false, subscribed_at: None, echoed_at: None, is_proved: false };
        Media(names.into_iter().map(state).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// This node can publish there, or cannot. What came back before is no proof any more.
    pub(super) fn connected(&mut self, medium: usize, is_connected: bool) {
        let state = &mut self.0[medium];
        (state.is_connected, state.is_proved) = (is_connected, false);
    }

    /// This node is subscribed there. Only what comes back from now on proves that it hears.
    pub(super) fn subscribed(&mut self, medium: usize, now: Instant) {
        let state = &mut self.0[medium];
        (state.subscribed_at, state.echoed_at, state.is_proved) = (Some(now), None, false);
    }

    pub(super) fn unsubscribed(&mut self, medium: usize) {
        let state = &mut self.0[medium];
        (state.subscribed_at, state.echoed_at, state.is_proved) = (None, None, false);
    }

    pub(super) fn is_any_subscribed(&self) -> bool {
        self.0.iter().any(|state| state.subscribed_at.is_some())
    }

    /// An own heartbeat came back.
    pub(super) fn echoed(&mut self, medium: usize, now: Instant) {
        let state = &mut self.0[medium];
        if state.subscribed_at.is_some() {
            (state.echoed_at, state.is_proved) = (Some(now), state.is_connected);
        }
    }

    /// Whether what is published there has lately come back.
    pub(super) fn works(&self, medium: usize, now: Instant) -> bool {
        let state = &self.0[medium];
        let is_recent = |at: Instant| now.saturating_duration_since(at) < UNHEARD_AFTER;
        state.is_proved && state.echoed_at.is_some_and(is_recent)
    }

    /// The subscriptions to be made anew, since nothing comes back through them. Each is named once.
    pub(super) fn take_overdue(&mut self, now: Instant) -> Vec<usize> {
        let mut overdue = Vec::new();
        for (medium, state) in self.0.iter_mut().enumerate() {
            let proved_at = state.echoed_at.max(state.subscribed_at);
            if proved_at.is_some_and(|at| now.saturating_duration_since(at) >= ECHO_OVERDUE) {
                (state.subscribed_at, state.echoed_at) = (Some(now), None);
                overdue.push(medium);
            }
        }
        overdue
    }

    /// In what order media are tried for a node's channel.
    pub(super) fn order_for(&self, node: &NodeId) -> Box<[usize]> {
        let score = |medium: &usize| -> [u8; 32] {
            let name = self.0[*medium].name.as_bytes();
            Sha256::new()
                .chain_update((name.len() as u64).to_be_bytes())
                .chain_update(name)
                .chain_update(&*node.0)
                .finalize()
                .into()
        };
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_by_cached_key(|medium| Reverse(score(medium)));
        order.into()
    }

    /// The first that works and where the node is heard; else the first that works; else one that this node can at
    /// least publish to.
    pub(super) fn choose(&self, order: &[usize], heard: &Heard, now: Instant) -> usize {
        let rank = |medium: usize| match (self.works(medium, now), heard.is_heard(medium, now)) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) if self.0[medium].is_connected => 2,
            (false, _) => 3,
        };
        order.iter().copied().min_by_key(|medium| rank(*medium)).expect("a bus has at least one medium")
    }
}

impl Heard {
    pub(super) fn new(media: usize) -> Self {
        Heard(vec![None; media].into())
    }

    pub(super) fn note(&mut self, medium: usize, now: Instant) {
        self.0[medium] = Some(now);
    }

    /// It does not listen there.
    pub(super) fn forget(&mut self, medium: usize) {
        self.0[medium] = None;
    }

    fn is_heard(&self, medium: usize, now: Instant) -> bool {
        self.0[medium].is_some_and(|at| now.saturating_duration_since(at) < UNHEARD_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn media(count: usize, now: Instant) -> Media {
        let mut media = Media::new((0..count).map(|medium| format!("redis at 10.0.0.{medium}:6379")));
        for medium in 0..count {
            media.connected(medium, true);
            media.subscribed(medium, now);
            media.echoed(medium, now);
        }
        media
    }

    fn node(number: usize) -> NodeId {
        format!("node-{number}").as_str().into()
    }

    #[test]
    fn channels_spread_and_only_those_of_a_lost_medium_move() {
        let now = Instant::now();
        let mut media = media(3, now);
        let heard = Heard::new(3);
        let choices = |media: &Media| -> Vec<usize> {
            (0..300).map(|number| media.choose(&media.order_for(&node(number)), &heard, now)).collect()
        };
        let before = choices(&media);
        for medium in 0..3 {
            let share = before.iter().filter(|choice| **choice == medium).count();
            assert!((60..140).contains(&share), "{share} of 300 channels go through one of three");
        }

        media.connected(1, false);

        let after = choices(&media);
        assert!(after.iter().all(|choice| *choice != 1));
        assert!(before.iter().zip(&after).all(|(before, after)| *before == 1 || before == after));
    }

    #[test]
    fn all_nodes_agree_on_the_order_however_their_lists_are_sorted() {
        let (one, other) = (Media::new(["a".into(), "b".into()]), Media::new(["b".into(), "a".into()]));
        for number in 0..50 {
            let (order, same) = (one.order_for(&node(number)), other.order_for(&node(number)));
            assert_eq!(one.0[order[0]].name, other.0[same[0]].name);
        }
    }

    #[test]
    fn deaf_medium_is_left_within_three_seconds() {
        let start = Instant::now();
        let mut media = media(2, start);
        let (order, heard) = ([0, 1], Heard::new(2));
        assert_eq!(media.choose(&order, &heard, start), 0);

        media.echoed(1, start + 2 * SECOND);

        assert_eq!(media.choose(&order, &heard, start + 3 * SECOND), 1);
        assert!(!media.works(0, start + 3 * SECOND) && media.works(1, start + 3 * SECOND));
    }

    #[test]
    fn new_connection_proves_nothing_yet() {
        let now = Instant::now();
        let mut media = media(1, now);
        media.connected(0, false);
        media.connected(0, true);
        assert!(!media.works(0, now));
        media.echoed(0, now);
        assert!(media.works(0, now));

        media.subscribed(0, now);
        assert!(!media.works(0, now));
    }

    #[test]
    fn medium_where_the_node_is_not_heard_is_passed_over() {
        let now = Instant::now();
        let media = media(2, now);
        let mut heard = Heard::new(2);
        heard.note(1, now);
        assert_eq!(media.choose(&[0, 1], &heard, now), 1);

        heard.note(0, now);
        assert_eq!(media.choose(&[0, 1], &heard, now), 0);
        heard.forget(0);
        assert_eq!(media.choose(&[0, 1], &heard, now), 1);
        heard.forget(1);
        assert_eq!(media.choose(&[0, 1], &heard, now), 0, "heard nowhere, it may have just started");
    }

    #[test]
    fn subscription_that_brings_nothing_back_is_named_once_in_a_while() {
        let start = Instant::now();
        let mut media = media(2, start);
        media.echoed(1, start + 4 * SECOND);

        assert_eq!(media.take_overdue(start + 4 * SECOND), Vec::<usize>::new());
        assert_eq!(media.take_overdue(start + ECHO_OVERDUE), [0]);
        assert_eq!(media.take_overdue(start + ECHO_OVERDUE), Vec::<usize>::new());
        media.unsubscribed(0);
        assert_eq!(media.take_overdue(start + 2 * ECHO_OVERDUE), [1]);
    }
}
