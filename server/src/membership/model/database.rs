//! The rows of nodes and sessions, as `storage::sql` keeps them.

use crate::cluster::{NodeId, NodeKey};
use crate::storage::{Peer, Release, Renewal};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
struct NodeRow {
    boot: i64,
    renewals: u64,
    gone: u64,
    takeovers: u64,
}

impl NodeRow {
    fn is_gone(&self) -> bool {
        self.gone == self.renewals
    }
}

#[derive(Clone, Debug, Default)]
pub struct Database {
    nodes: BTreeMap<NodeId, NodeRow>,
    /// Holder and epoch.
    sessions: BTreeMap<u64, (Option<NodeKey>, u64)>,
}

impl Database {
    /// Returns the takeovers so far, or an earlier run that is not gone.
    pub fn start(&mut self, key: &NodeKey) -> Result<u64, Peer> {
        let row = self.nodes.entry(key.id.clone()).or_default();
        if row.boot != key.boot && !row.is_gone() {
            return Err(Peer { key: NodeKey { id: key.id.clone(), boot: row.boot }, renewals: row.renewals });
        }
        (row.boot, row.renewals) = (key.boot, row.renewals + 1);
        Ok(row.takeovers)
    }

    /// `None`: the row is another run's.
    pub fn renew(&mut self, key: &NodeKey) -> Option<Renewal> {
        let made_anew = !self.nodes.contains_key(&key.id);
        let row = self.nodes.entry(key.id.clone()).or_insert(NodeRow { boot: key.boot, ..NodeRow::default() });
        if row.boot != key.boot {
            return None;
        }
        row.renewals += 1;
        let takeovers = row.takeovers;
        let live = self.nodes.iter().filter(|(_, row)| !row.is_gone());
        let live =
            live.map(|(id, row)| Peer { key: NodeKey { id: id.clone(), boot: row.boot }, renewals: row.renewals });
        let held = self.sessions.iter().filter(|(_, (holder, _))| holder.as_ref() == Some(key));
        let held = held.map(|(user, (_, epoch))| Release { user: *user, epoch: *epoch }).collect();
        Some(Renewal { live: live.collect(), takeovers, made_anew, held, asked: Vec::new() })
    }

    pub fn renewals(&self, key: &NodeKey) -> u64 {
        self.nodes.get(&key.id).map_or(0, |row| row.renewals)
    }

    pub fn call_gone(&mut self, seen: &Peer) -> bool {
        let row = self.nodes.get_mut(&seen.key.id);
        let row = row.filter(|row| row.boot == seen.key.boot && row.renewals == seen.renewals);
        row.map(|row| row.gone = row.renewals).is_some()
    }

    pub fn is_gone(&self, key: &NodeKey) -> bool {
        self.nodes.get(&key.id).is_none_or(|row| row.boot != key.boot || row.is_gone())
    }

    /// The epoch of the session, if it is won.
    pub fn claim(&mut self, key: &NodeKey, user: u64) -> Option<u64> {
        let (holder, epoch) = self.sessions.get(&user).cloned().unwrap_or_default();
        if let Some(holder) = holder.filter(|holder| holder != key) {
            if !self.is_gone(&holder) {
                return None;
            }
            if let Some(row) = self.nodes.get_mut(&holder.id).filter(|row| row.boot == holder.boot) {
                row.takeovers += 1;
            }
        }
        self.sessions.insert(user, (Some(key.clone()), epoch + 1));
        Some(epoch + 1)
    }

    pub fn release(&mut self, key: &NodeKey, user: u64, epoch: u64) {
        if self.holds(key, user, epoch) {
            self.sessions.insert(user, (None, epoch));
        }
    }

    pub fn holds(&self, key: &NodeKey, user: u64, epoch: u64) -> bool {
        self.sessions.get(&user).is_some_and(|(holder, at)| holder.as_ref() == Some(key) && *at == epoch)
    }
}
