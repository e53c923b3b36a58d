//! The story that every fault is put through: people chat across all nodes, something breaks, it heals, and every message
//! that was acknowledged is with everybody it was for, once and in order (G1 to G5).

use super::fault::Fault;
use super::topology::Topology;
use crate::eventually::eventually;
use crate::users::{Chat, Ledger, Online, Summary, User, meet};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// For the first acknowledgements, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// The longest way back: a lease (8 s), clients that find out (6 s) and reconnect, a database that recovers.
const RECOVERED: Duration = Duration::from_secs(60);
/// Messages that must pass before a fault, and after it, so that there is something to lose.
const ENOUGH: usize = 100;
/// Friends who chat with each other, on different nodes.
const CIRCLE: usize = 5;

/// A story to be told.
pub struct Story<'a> {
    topology: &'a Topology,
    users: usize,
    lasting: Duration,
}

impl<'a> Story<'a> {
    /// One with fifty users and a fault of five seconds.
    pub fn on(topology: &'a Topology) -> Self {
        Story { topology, users: 50, lasting: Duration::from_secs(5) }
    }

    /// How many chat: in circles of five friends, each with a group.
    pub fn users(mut self, count: usize) -> Self {
        self.users = count;
        self
    }

    /// How long the fault lasts until it is healed.
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.lasting = duration;
        self
    }

    /// Tells it.
    ///
    /// # Panics
    /// If a promise is broken, the chat does not go on after the fault, or the fault can be neither inflicted nor healed.
    pub async fn nothing_is_lost_through(self, fault: Fault) -> Summary {
        let ledger = Arc::new(Ledger::default());
        let addresses = [self.topology.address()];
        let circles = (0..self.users.div_ceil(CIRCLE)).map(|_| meet(&ledger, &addresses, CIRCLE));
        let (mut online, mut chats) = (Vec::new(), Vec::new());
        for (users, group) in join_all(circles).await {
            let circle = self.log_in(&users).await;
            chats.push(Chat::start(&circle, group));
            online.extend(circle);
        }
        more_is_acknowledged(&ledger).await;

        let active = fault.inflict(self.topology).await.expect("the fault can be inflicted");
        tokio::time::sleep(self.lasting).await;
        active.heal().await.expect("the fault heals");

        more_is_acknowledged(&ledger).await;
        let everybody = async || online.iter().all(|user| user.node().is_some()).then_some(());
        eventually(RECOVERED, "everybody is online again", everybody).await;
        join_all(chats.into_iter().map(Chat::stop)).await;
        ledger.settle(RECOVERED).await
    }

    /// Every second user through nginx; of the others each node has some. A client that loses its node tries the others.
    async fn log_in(&self, users: &[User]) -> Vec<Arc<Online>> {
        let mut online = Vec::new();
        for (place, user) in users.iter().enumerate() {
            let addresses = match place % 2 {
                0 => vec![self.topology.address()],
                _ => self.topology.from_node(place / 2 % self.topology.nodes().len()),
            };
            online.push(Arc::new(user.log_in(&addresses).await.expect("nobody is online yet")));
        }
        online
    }
}

async fn more_is_acknowledged(ledger: &Ledger) {
    let goal = ledger.acked() + ENOUGH;
    let budget = if goal == ENOUGH { SOON } else { RECOVERED };
    eventually(budget, "the chat goes on", async || (ledger.acked() >= goal).then_some(())).await;
}
