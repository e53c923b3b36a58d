//! What waits to be asked of the database about session rows, and what its answers mean.
//!
//! A state machine without task or clock; `model` drives it against a database that fails in every way. Whoever runs
//! it adds what comes in, asks what [`Backlog::next`] says until that is nothing, and hands in each answer before the
//! next question. So what is planned is still true when it is asked: no row is disowned that was won meanwhile.

use crate::storage::{Claim, Claimed, Error, Mark, Release, Result};
use chat_protocol::conversation::UserId;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Claims and releases in one transaction.
pub const BATCH: usize = 256;
/// Wait between two tries to free rows.
pub const RETRY: Duration = Duration::from_millis(500);
/// Tries to free a row (ten minutes of them); given up, it is free again only to this node, or at its next start.
pub const RELEASE_TRIES: u32 = 1_200;
/// Wait before a row is asked for again that another transaction holds.
pub const BUSY_RETRY: Duration = Duration::from_millis(50);
/// For how long such a row is asked for; then the claimant is told.
pub const BUSY_PATIENCE: Duration = Duration::from_secs(2);
/// Users whose claim has an unknown outcome; beyond it claims are refused until the database answers again.
pub const MOST_DOUBTFUL: usize = 65_536;

pub enum Job {
    Claim(Asked),
    Release(Ending),
}

/// A claim, and whom to answer.
pub struct Asked {
    pub claim: Claim,
    pub since: Instant,
    pub reply: oneshot::Sender<Result<Claimed>>,
}

/// A session that has ended, and whose row is not free yet.
pub struct Ending {
    pub release: Release,
    pub marks: Vec<Mark>,
    tries: u32,
    /// Told, and gone, after the first try.
    tried: Option<oneshot::Sender<Released>>,
    /// Dropped when the row is free, or given up.
    done: Option<oneshot::Sender<()>>,
}

/// How far the release of a row has got.
pub enum Released {
    Done,
    /// Completes (with an error, which means nothing) when the row is free, or no longer tried.
    Later(oneshot::Receiver<()>),
}

/// What the database is to be asked.
pub enum Ask {
    /// To save the cursors, and then to free the rows; answered with [`Backlog::freed`].
    Free(Vec<Ending>),
    /// Answered with [`Backlog::claimed`].
    Claim(Vec<Asked>),
    /// To free rows that nobody here stands behind; answered with [`Backlog::disowned`].
    Disown(Vec<UserId>),
}

pub struct Backlog {
    asks: VecDeque<Ask>,
    /// Claims of rows that other transactions hold, and when to ask again.
    busy: Vec<Asked>,
    busy_until: Instant,
    /// Releases that have failed so far.
    endings: VecDeque<Ending>,
    /// Users whose row may name this node though nobody here has their session.
    doubtful: BTreeSet<UserId>,
    /// Up to where the doubtful have been tried.
    doubted: UserId,
    retry_at: Instant,
}

impl Ending {
    pub fn new(release: Release, marks: Vec<Mark>, tried: oneshot::Sender<Released>) -> Self {
        Ending { release, marks, tries: 0, tried: Some(tried), done: None }
    }
}

impl Backlog {
    pub fn new(now: Instant) -> Self {
        Backlog {
            asks: VecDeque::new(),
            busy: Vec::new(),
            busy_until: now,
            endings: VecDeque::new(),
            doubtful: BTreeSet::new(),
            doubted: 0,
            retry_at: now,
        }
    }

    /// Plans what to ask for these jobs, and for the busy rows whose time has come.
    pub fn add(&mut self, jobs: impl Iterator<Item = Job>, now: Instant) {
        let mut claims = if now < self.busy_until { Vec::new() } else { std::mem::take(&mut self.busy) };
        let mut endings = Vec::new();
        for job in jobs {
            match job {
                Job::Claim(asked) => claims.push(asked),
                Job::Release(ending) => endings.push(ending),
            }
        }
        if self.doubtful.len() > MOST_DOUBTFUL {
            refuse(claims.drain(..), "too many claims have an unknown outcome");
        }
        // Releases first: a takeover on this node claims what it has just had released.
        if !endings.is_empty() {
            self.asks.push_back(Ask::Free(endings));
        }
        while !claims.is_empty() {
            let rest = claims.split_off(claims.len().min(BATCH));
            self.asks.push_back(Ask::Claim(std::mem::replace(&mut claims, rest)));
        }
    }

    /// What to ask now; `None`: nothing until [`Backlog::next_due`], or until something is added.
    pub fn next(&mut self, now: Instant) -> Option<Ask> {
        if self.asks.is_empty() && self.has_unfinished() && now >= self.retry_at {
            self.plan_retry(now);
        }
        let mut ask = self.asks.pop_front()?;
        if let Ask::Claim(asked) = &mut ask {
            // One that nobody waits for must not win the row again that a later login of the user has won.
            asked.retain(|asked| !asked.reply.is_closed());
        }
        Some(ask)
    }

    pub fn next_due(&self) -> Option<Instant> {
        let busy = (!self.busy.is_empty()).then_some(self.busy_until);
        let unfinished = self.has_unfinished().then_some(self.retry_at);
        busy.into_iter().chain(unfinished).min()
    }

    fn has_unfinished(&self) -> bool {
        !self.endings.is_empty() || !self.doubtful.is_empty()
    }

    /// Another try at what has failed before.
    fn plan_retry(&mut self, now: Instant) {
        self.retry_at = now + RETRY;
        let endings: Vec<Ending> = self.endings.drain(..self.endings.len().min(BATCH)).collect();
        if !endings.is_empty() {
            self.asks.push_back(Ask::Free(endings));
        }
        let from_there_on = self.doubtful.range(self.doubted + 1..).chain(self.doubtful.range(..=self.doubted));
        let users: Vec<UserId> = from_there_on.take(BATCH).copied().collect();
        if !users.is_empty() {
            self.asks.push_back(Ask::Disown(users));
        }
    }

    /// `answer`: whose rows other transactions hold; all others are free, or have moved on.
    pub fn freed(&mut self, endings: Vec<Ending>, answer: Result<Vec<UserId>>, now: Instant) {
        let (count, is_first_try) = (endings.len(), endings.iter().any(|ending| ending.tried.is_some()));
        let (mut left, freed): (Vec<Ending>, Vec<Ending>) = match answer {
            Ok(held) => endings.into_iter().partition(|ending| held.contains(&ending.release.user)),
            Err(error) => {
                tracing::warn!(%error, sessions = count, "cannot free sessions, trying on");
                (endings, Vec::new())
            }
        };
        freed.into_iter().for_each(Ending::tell_done);
        left.retain_mut(Ending::is_tried_on);
        if !is_first_try {
            self.retry_at = now + RETRY;
            if left.len() == count && count > 1 {
                // Perhaps it is the first of them that stands in the way of all.
                self.asks.push_front(Ask::Free(vec![left.remove(0)]));
            }
        }
        self.endings.extend(left);
    }

    /// `answer`: one outcome each, in order. Where there is none any of the claims may have been won.
    pub fn claimed(&mut self, asked: Vec<Asked>, answer: Result<Vec<Claimed>>, now: Instant) {
        match answer {
            Ok(outcomes) => asked.into_iter().zip(outcomes).for_each(|(asked, outcome)| self.tell(asked, outcome, now)),
            Err(error) => {
                self.doubtful.extend(asked.iter().map(|asked| asked.claim.user));
                refuse(asked.into_iter(), &error.to_string());
            }
        }
    }

    fn tell(&mut self, asked: Asked, outcome: Claimed, now: Instant) {
        let user = asked.claim.user;
        if outcome == Claimed::Busy {
            if now < asked.since + BUSY_PATIENCE {
                self.busy.push(asked);
                self.busy_until = now + BUSY_RETRY;
                return;
            }
        } else {
            self.doubtful.remove(&user);
        }
        let is_won = matches!(outcome, Claimed::Won { .. });
        if asked.reply.send(Ok(outcome)).is_err() && is_won {
            // Nobody is left to have it.
            self.doubtful.insert(user);
        }
    }

    pub fn disowned(&mut self, users: Vec<UserId>, answer: Result<()>, now: Instant) {
        self.retry_at = now + RETRY;
        match answer {
            Ok(()) => self.doubtful.retain(|user| !users.contains(user)),
            Err(error) if users.len() == 1 => {
                tracing::warn!(%error, user = users[0], "cannot tell whose session it is, trying on");
            }
            Err(_) => {
                // Perhaps it is the first of them that stands in the way of all: next time they begin behind it.
                self.doubted = users[0];
                self.asks.push_front(Ask::Disown(vec![users[0]]));
            }
        }
    }
}

impl Ending {
    fn tell_done(self) {
        if let Some(tried) = self.tried {
            let _ = tried.send(Released::Done);
        }
    }

    /// A try has failed; whether there are others.
    fn is_tried_on(&mut self) -> bool {
        self.tries += 1;
        if let Some(tried) = self.tried.take() {
            let (done, end) = oneshot::channel();
            self.done = Some(done);
            let _ = tried.send(Released::Later(end));
        }
        self.tries < RELEASE_TRIES
    }
}

fn refuse(claims: impl Iterator<Item = Asked>, why: &str) {
    claims.for_each(|asked| drop(asked.reply.send(Err(Error::Unavailable(why.into())))));
}
