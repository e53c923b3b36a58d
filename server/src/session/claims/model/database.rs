//! The session rows, as `storage::sql::sessions` keeps them, and all that can happen to a call.

use crate::cluster::NodeKey;
use crate::storage::{Claimed, Error, Mark, Release, Result};
use chat_protocol::conversation::UserId;
use std::collections::{BTreeMap, BTreeSet};

pub const NODES: usize = 2;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// The same, but whoever waits for the first claim has gone meanwhile.
    GivenUp,
    /// Nothing takes effect.
    Fails,
    /// The first of two transactions takes effect, if there are two.
    FailsHalfWay,
    /// It takes effect, and the caller hears that it failed.
    AnswerLost,
    /// The caller hears that it failed; its transaction holds the rows, and ends later.
    Hangs,
}

#[derive(Clone, Debug, Default)]
pub struct Row {
    pub holder: Option<usize>,
    pub epoch: u64,
    is_locked: bool,
}

#[derive(Debug, Default)]
pub struct Database {
    pub rows: BTreeMap<UserId, Row>,
    /// The latest session whose cursors are saved.
    saved: BTreeMap<UserId, u64>,
    /// Nodes that were called gone: what they hold is free.
    pub gone: [bool; NODES],
    /// What each transaction that holds rows will have made of them.
    pub hanging: Vec<Vec<(UserId, Row)>>,
    /// Every transaction with this user fails.
    pub poisoned: Option<UserId>,
}

fn fails<T>() -> Result<T> {
    Err(Error::Unavailable("injected by a test".into()))
}

impl Database {
    pub fn is_held(&self, node: usize, user: UserId, epoch: u64) -> bool {
        self.rows.get(&user).is_some_and(|row| row.holder == Some(node) && row.epoch == epoch)
    }

    /// A transaction that hangs will have taken a session from this node.
    pub fn is_taken_from(&self, node: usize) -> bool {
        let from = |(user, row): &(UserId, Row)| self.rows[user].holder == Some(node) && row.holder != Some(node);
        self.hanging.iter().flatten().any(|change| from(change) && self.gone[node])
    }

    pub fn claim(&mut self, node: usize, users: &[UserId], fate: Fate) -> Result<Vec<Claimed>> {
        let mut changed = BTreeMap::new();
        let outcomes = users.iter().map(|user| {
            let row = self.rows.entry(*user).or_default().clone();
            let claimed = match row.holder {
                _ if row.is_locked => return Claimed::Busy,
                Some(other) if other != node && !self.gone[other] => {
                    let node = NodeKey { id: other.to_string().as_str().into(), boot: 1 };
                    return Claimed::Held { node, epoch: row.epoch };
                }
                _ => Claimed::Won { epoch: row.epoch + 1 },
            };
            changed.insert(*user, Row { holder: Some(node), epoch: row.epoch + 1, ..row });
            claimed
        });
        let outcomes = outcomes.collect();
        self.end_call(users, changed, fate).map(|()| outcomes)
    }

    pub fn save_and_free(
        &mut self,
        node: usize,
        releases: &[Release],
        marks: &[Mark],
        fate: Fate,
    ) -> Result<Vec<UserId>> {
        let users: Vec<UserId> = releases.iter().map(|release| release.user).collect();
        if fate == Fate::Fails || self.is_poisoned(&users) {
            return fails();
        }
        for mark in marks {
            if self.rows.get(&mark.user).is_some_and(|row| row.holder == Some(node)) {
                self.saved.insert(mark.user, mark.seq);
            }
        }
        let (mut changed, mut held) = (BTreeMap::new(), Vec::new());
        for release in releases {
            let row = self.rows.entry(release.user).or_default().clone();
            if row.is_locked {
                held.push(release.user);
            } else if row.holder == Some(node) && row.epoch == release.epoch {
                let is_saved = self.saved.get(&release.user) == Some(&release.epoch);
                assert!(is_saved, "the row of {} is freed before its cursors are saved", release.user);
                changed.insert(release.user, Row { holder: None, ..row });
            }
        }
        self.end_call(&users, changed, fate).map(|()| held)
    }

    /// Waits for locks, and so fails where there are any.
    pub fn disown(&mut self, node: usize, users: &[UserId], fate: Fate) -> Result<()> {
        if users.iter().any(|user| self.rows.entry(*user).or_default().is_locked) {
            return fails();
        }
        let own = users.iter().map(|user| (*user, self.rows[user].clone())).filter(|(_, row)| row.holder == Some(node));
        let changed = own.map(|(user, row)| (user, Row { holder: None, ..row })).collect();
        self.end_call(users, changed, fate)
    }

    fn is_poisoned(&self, users: &[UserId]) -> bool {
        self.poisoned.is_some_and(|user| users.contains(&user))
    }

    fn end_call(&mut self, users: &[UserId], changed: BTreeMap<UserId, Row>, fate: Fate) -> Result<()> {
        match fate {
            _ if self.is_poisoned(users) => fails(),
            Fate::Fails | Fate::FailsHalfWay => fails(),
            Fate::Done | Fate::GivenUp => {
                self.rows.extend(changed);
                Ok(())
            }
            Fate::AnswerLost => {
                self.rows.extend(changed);
                fails()
            }
            Fate::Hangs => {
                changed.keys().for_each(|user| self.lock(*user));
                self.hanging.push(changed.into_iter().collect());
                fails()
            }
        }
    }

    /// Another transaction holds this row; if one does already, nothing happens.
    pub fn lock(&mut self, user: UserId) {
        self.rows.entry(user).or_default().is_locked = true;
    }

    pub fn unlock(&mut self, user: UserId) {
        let hanging: BTreeSet<UserId> = self.hanging.iter().flatten().map(|(user, _)| *user).collect();
        self.rows.entry(user).or_default().is_locked = hanging.contains(&user);
    }

    /// The transaction that hangs commits, or is rolled back.
    pub fn unhang(&mut self, which: usize, commits: bool) {
        if which >= self.hanging.len() {
            return;
        }
        for (user, row) in self.hanging.remove(which) {
            if commits {
                self.rows.insert(user, row);
            }
            self.unlock(user);
        }
    }
}
