//! What the lease's keeper does to the rest of the node.

use crate::cluster::NodeId;
use crate::context::Context;
use crate::failpoint::{self, Failpoint};
use crate::membership::lease_keeper::Tenants;
use crate::storage::{End, EndAsked, Release};
use chat_protocol::conversation::Conversation;
use std::sync::Arc;
use tokio::time::Instant;

pub struct NodeTenants(pub Arc<Context>);

impl Tenants for NodeTenants {
    fn sessions(&self) -> Vec<Release> {
        self.0.registry.all().iter().map(|session| session.release()).collect()
    }

    fn suspend(&self) {
        self.0.registry.suspend_all();
    }

    fn is_suspended(&self) -> bool {
        self.0.registry.is_suspended()
    }

    fn resume(&self) {
        self.0.registry.resume_all();
    }

    fn lose(&self, sessions: &[Release]) {
        if failpoint::hits(Failpoint::LeaseStale) {
            return;
        }
        for lost in sessions {
            if let Some(session) = self.0.registry.get(lost.user).filter(|session| session.release() == *lost) {
                session.lose();
            }
        }
        self.0.metrics.sessions_lost_total.inc_by(sessions.len() as u64);
    }

    fn give_up(&self, asked: EndAsked) {
        self.0.endings.give_up(asked);
    }

    fn set_peers(&self, live: Vec<NodeId>) {
        self.0.delivery.members.pulse.set_peers(&live, Instant::now());
        self.0.peers.set(live);
    }

    fn node_has_gone(&self, node: &NodeId) {
        self.0.delivery.routes.forget_node(node);
        self.0.delivery.repair.look_at_everything();
        self.0.tidier.ask(node.clone());
    }

    fn commits_were_lost(&self) {
        self.0.delivery.members.pulse.broken(Instant::now());
    }

    fn log_ends(&self) -> Vec<(Conversation, End)> {
        self.0.delivery.log_ends.all()
    }

    fn log_was_lost(&self, conv: Conversation) {
        self.0.metrics.log_lost(conv);
        self.0.delivery.repair.look_at_everything();
    }
}
