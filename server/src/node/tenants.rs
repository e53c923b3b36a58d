//! What the lease's keeper does to the rest of the node.

use crate::bus::Item;
use crate::cluster::NodeId;
use crate::context::Context;
use crate::failpoint::{self, Failpoint};
use crate::membership::lease_keeper::Tenants;
use crate::session::Session;
use crate::storage::{Change, End, EndAsked, Release};
use chat_protocol::conversation::Conversation;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

pub struct NodeTenants(pub Arc<Context>);

impl Tenants for NodeTenants {
    fn sessions(&self) -> Vec<Release> {
        self.0.registry.all().iter().map(|session| session.release()).collect()
    }

    fn new_sessions(&self) -> Vec<Release> {
        self.0.registry.take_new()
    }

    fn is_here(&self, session: Release) -> bool {
        let is_it = |here: &Arc<Session>| here.epoch == session.epoch && !here.has_ended();
        self.0.registry.with(session.user, is_it).unwrap_or(false)
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

    fn give_up(&self, asked: EndAsked, as_of: Instant) {
        self.0.endings.give_up(asked, as_of);
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
        // A version that was lost may have been given anew.
        self.0.delivery.members.doubt_all();
    }

    fn known(&self) -> Vec<Change> {
        let mut known: BTreeMap<Conversation, Change> = BTreeMap::new();
        let of = |conv| Change { conv, end: End::default(), version: 0 };
        for (conv, end) in self.0.delivery.log_ends.all() {
            known.insert(conv, Change { end, ..of(conv) });
        }
        for (conv, version) in self.0.delivery.members.versions() {
            known.entry(conv).or_insert(of(conv)).version = version;
        }
        known.into_values().collect()
    }

    fn was_lost(&self, now: Change) {
        let Change { conv, end, version } = now;
        let delivery = &self.0.delivery;
        let known = delivery.log_ends.known(conv);
        if known != End::default() && end.log_epoch > known.log_epoch {
            self.0.metrics.log_lost(conv);
        }
        delivery.members.changed(conv, version);
        self.0.peers.tell(|| Item::Changed { conv, version, moved: None });
        delivery.repair.look_at_everything();
    }
}
