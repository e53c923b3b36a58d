//! The receiving node's end of a subscription: hands arrivals over without ever waiting.
//!
//! Redis cuts off a subscriber that reads slowly, so the subscriber cannot wait for its node. What finds no room is
//! dropped, the sender is remembered, and [`Arrival::Lost`] goes out as soon as there is room and before anything newer
//! of that sender.

use super::{Arrival, BusStats, Item};
use crate::cluster::NodeId;
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

pub(super) struct Inbox {
    arrivals: mpsc::Sender<Arrival>,
    owed: Owed,
    stats: Arc<BusStats>,
}

/// What the node still has to be told.
#[derive(Default)]
struct Owed {
    resubscribed: bool,
    lost: BTreeSet<NodeId>,
}

impl Inbox {
    pub(super) fn new(arrivals: mpsc::Sender<Arrival>, stats: Arc<BusStats>) -> Self {
        Inbox { arrivals, owed: Owed::default(), stats }
    }

    /// Items of one envelope.
    pub(super) fn items(&mut self, from: NodeId, items: Vec<Item>) {
        if items.is_empty() {
            return;
        }
        if !self.pay() {
            return self.drop_items(from, &items);
        }
        match self.arrivals.try_send(Arrival::Items { from, items }) {
            Ok(()) => {}
            Err(TrySendError::Full(Arrival::Items { from, items })) => self.drop_items(from, &items),
            // The node has ended; nobody is left to miss anything.
            Err(_) => {}
        }
    }

    /// Something from this node was lost.
    pub(super) fn lost(&mut self, from: NodeId) {
        self.owed.lost.insert(from);
        self.pay();
    }

    /// The subscription is up again.
    pub(super) fn resubscribed(&mut self) {
        self.owed.resubscribed = true;
        self.pay();
    }

    /// Does `work`, and meanwhile tells the node what it is owed.
    pub(super) async fn alongside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.pay_one(), if !self.owed.is_empty() => {}
            }
        }
    }

    fn drop_items(&mut self, from: NodeId, items: &[Item]) {
        BusStats::add(&self.stats.dropped_items, items.len());
        self.owed.lost.insert(from);
    }

    /// Tells all that is owed as far as there is room; whether nothing is owed any more.
    fn pay(&mut self) -> bool {
        while !self.owed.is_empty() {
            match self.arrivals.try_reserve() {
                Ok(room) => self.owed.tell(room),
                Err(TrySendError::Full(())) => return false,
                Err(TrySendError::Closed(())) => self.owed = Owed::default(),
            }
        }
        true
    }

    /// Waits for room and tells one thing. May be dropped while it waits.
    async fn pay_one(&mut self) {
        match self.arrivals.reserve().await {
            Ok(room) => self.owed.tell(room),
            Err(_) => self.owed = Owed::default(),
        }
    }
}

impl Owed {
    fn is_empty(&self) -> bool {
        !self.resubscribed && self.lost.is_empty()
    }

    /// Tells one thing.
    fn tell(&mut self, room: mpsc::Permit<'_, Arrival>) {
        if std::mem::take(&mut self.resubscribed) {
            // It says of all senders what `Lost` says of one.
            self.lost.clear();
            room.send(Arrival::Resubscribed);
        } else if let Some(from) = self.lost.pop_first() {
            room.send(Arrival::Lost { from });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::atomic::Ordering;

    fn inbox(room: usize) -> (Inbox, mpsc::Receiver<Arrival>) {
        let (sender, receiver) = mpsc::channel(room);
        (Inbox::new(sender, Arc::default()), receiver)
    }

    fn items(user: u64) -> Vec<Item> {
        vec![Item::Yielded { user }]
    }

    fn arrival(from: &str, user: u64) -> Option<Arrival> {
        Some(Arrival::Items { from: from.into(), items: items(user) })
    }

    #[tokio::test]
    async fn overflow_becomes_lost_before_anything_newer() {
        let (mut inbox, mut receiver) = inbox(1);

        inbox.items("a".into(), items(1));
        inbox.items("a".into(), items(2));
        assert_eq!(inbox.stats.dropped_items.load(Ordering::Relaxed), 1);

        assert_eq!(receiver.recv().await, arrival("a", 1));
        inbox.items("a".into(), items(3));
        assert_eq!(receiver.recv().await, Some(Arrival::Lost { from: "a".into() }));
        // There was room for `Lost` alone, so what came with it is lost again.
        inbox.pay();
        assert_eq!(receiver.recv().await, Some(Arrival::Lost { from: "a".into() }));
        inbox.items("a".into(), items(4));
        assert_eq!(receiver.recv().await, arrival("a", 4));
    }

    #[tokio::test]
    async fn node_is_told_as_soon_as_it_catches_up() {
        let (mut inbox, mut receiver) = inbox(1);
        inbox.items("a".into(), items(1));
        inbox.items("a".into(), items(2));
        inbox.items("b".into(), items(3));
        let told = async {
            let mut told = Vec::new();
            for _ in 0..3 {
                told.extend(receiver.recv().await);
            }
            told
        };

        let told = tokio::select! {
            told = told => told,
            () = inbox.alongside(pending()) => unreachable!("the work never ends"),
        };

        let lost = |from: &str| Arrival::Lost { from: from.into() };
        assert_eq!(told, [arrival("a", 1).expect("made above"), lost("a"), lost("b")]);
    }

    #[tokio::test]
    async fn resubscription_covers_every_loss_before_it() {
        let (mut inbox, mut receiver) = inbox(1);
        inbox.items("a".into(), items(1));
        inbox.lost("b".into());
        inbox.resubscribed();

        assert_eq!(receiver.recv().await, arrival("a", 1));
        assert!(inbox.pay());
        assert_eq!(receiver.recv().await, Some(Arrival::Resubscribed));
        assert!(receiver.try_recv().is_err());
    }

    #[tokio::test]
    async fn ended_node_is_owed_nothing() {
        let (mut inbox, receiver) = inbox(1);
        drop(receiver);
        inbox.items("a".into(), items(1));
        inbox.lost("a".into());
        assert!(inbox.owed.is_empty());
    }
}
