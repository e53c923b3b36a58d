//! What the answers to renewals say of the sessions here: whether they are still this node's, or must be compared with
//! their rows before it goes on.
//!
//! They are in doubt when some were taken over while the node was called gone, when the database has lost commits, and
//! when a renewal failed: the database may have failed over to a copy that lacks the newest sessions, and the count
//! alone need not show it.

use crate::cluster::NodeKey;
use crate::storage::Renewal;

pub struct Standing {
    /// The count of the latest renewal.
    renewals: u64,
    /// How often sessions had been taken over when they were last compared.
    takeovers: u64,
    must_compare: bool,
}

/// Where the count of renewals has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    On,
    /// It is no greater than before, or the row was missing: the database has lost commits, in a failover to a copy
    /// without the newest, or since an older one was put in its place. Sessions may be among them, and ends of logs.
    WentBack,
}

impl Standing {
    /// Of a node without sessions, whose first renewal said `takeovers`.
    pub fn new(takeovers: u64) -> Self {
        Standing { renewals: 0, takeovers, must_compare: false }
    }

    /// The next renewal is to list the sessions. After an answer: the node stands still until then.
    pub fn must_compare(&self) -> bool {
        self.must_compare
    }

    pub fn failed(&mut self) {
        self.must_compare = true;
    }

    /// `compared`: the renewal lists the sessions.
    pub fn answered(&mut self, own: &NodeKey, renewal: &Renewal, compared: bool) -> Counted {
        let renewals = renewal.live.iter().find(|peer| peer.key == *own).map_or(0, |peer| peer.renewals);
        let went_back = renewal.made_anew || renewals <= self.renewals;
        self.renewals = renewals;
        // What went back may have done so after the sessions here were listed.
        self.must_compare = went_back || !compared && self.takeovers != renewal.takeovers;
        if compared {
            self.takeovers = renewal.takeovers;
        }
        if went_back { Counted::WentBack } else { Counted::On }
    }
}
