//! Takes and frees session rows for the whole node, many in one transaction.
//!
//! Eighteen thousand clients that come back at once must not mean eighteen thousand flushes of the disk. The cursors of
//! an ending session are saved before its row is freed, so that the next session starts where this one stopped; what
//! cannot be saved now is tried on, and meanwhile the user cannot log in. A claim whose outcome is unknown may have put
//! this node's name into a row that nobody stands behind: such rows are freed again as soon as the database tells.

use crate::cluster::NodeKey;
use crate::storage::{Claim, Claimed, Error, Mark, Release, Result, Storage};
use chat_environment::Tasks;
use chat_protocol::conversation::UserId;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Claims and releases that wait; beyond it the caller waits too.
const QUEUE: usize = 4_096;
/// Claims and releases in one transaction.
const BATCH: usize = 256;
/// Wait between two tries to free rows.
const RETRY: Duration = Duration::from_millis(500);
/// Tries to free a row (ten minutes of them); given up, it is free again only to this node, or at its next start.
const RELEASE_TRIES: u32 = 1_200;
/// Wait before a row is asked for again that another transaction holds.
const BUSY_RETRY: Duration = Duration::from_millis(50);
/// For how long such a row is asked for; then the claimant is told.
const BUSY_PATIENCE: Duration = Duration::from_secs(2);
/// Users whose claim has an unknown outcome; beyond it claims are refused until the database answers again.
const MOST_DOUBTFUL: usize = 65_536;

enum Job {
    Claim(Asked),
    Release(Ending),
}

struct Asked {
    claim: Claim,
    since: Instant,
    reply: oneshot::Sender<Result<Claimed>>,
}

/// A session that has ended, and whose row is not free yet.
struct Ending {
    release: Release,
    marks: Vec<Mark>,
    tries: u32,
    /// Told, and gone, after the first try.
    later: Option<oneshot::Sender<Released>>,
    /// Dropped when the row is free, or given up.
    done: Option<oneshot::Sender<()>>,
}

/// How far the release of a row has got.
pub enum Released {
    Done,
    /// Completes (with an error, which means nothing) when the row is free, or no longer tried.
    Later(oneshot::Receiver<()>),
}

#[derive(Clone)]
pub struct Seats {
    jobs: mpsc::Sender<Job>,
    /// For one who frees a row when the task has died.
    alone: Alone,
}

impl Seats {
    /// Starts the task behind it, which ends when every `Seats` is gone.
    pub fn start(tasks: &Tasks, storage: Arc<dyn Storage>, key: NodeKey) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let alone = Alone { storage: storage.clone(), key: key.clone(), tasks: tasks.clone() };
        let task = Task {
            storage,
            key,
            busy: Vec::new(),
            busy_until: Instant::now(),
            endings: VecDeque::new(),
            doubtful: BTreeSet::new(),
            doubted: 0,
            retry_at: Instant::now(),
        };
        tasks.spawn("claims", task.run(queue));
        Seats { jobs, alone }
    }

    pub async fn claim(&self, claim: Claim) -> Result<Claimed> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::Unavailable("the node is stopping".into());
        self.jobs.send(Job::Claim(Asked { claim, since: Instant::now(), reply })).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Saves the cursors and frees the row. Returns when that is done or has failed once; then it is tried on in the
    /// background, up to [`RELEASE_TRIES`] times.
    pub async fn release(&self, release: Release, marks: Vec<Mark>) -> Released {
        let (later, tried) = oneshot::channel();
        let ending = Ending { release, marks: marks.clone(), tries: 0, later: Some(later), done: None };
        if self.jobs.send(Job::Release(ending)).await.is_ok()
            && let Ok(released) = tried.await
        {
            return released;
        }
        self.alone.release(release, &marks).await;
        Released::Done
    }
}

/// Frees a row for which the task can do nothing any more, since it has died. The node drains then, and what a session
/// leaves is saved all the same, unless that is what the task died of.
#[derive(Clone)]
struct Alone {
    storage: Arc<dyn Storage>,
    key: NodeKey,
    tasks: Tasks,
}

impl Alone {
    async fn release(&self, release: Release, marks: &[Mark]) {
        let freeing = save_and_free(self.storage.as_ref(), &self.key, std::slice::from_ref(&release), marks);
        if let Ok(Err(error)) = self.tasks.catch("freeing a session", freeing).await {
            tracing::warn!(%error, user = release.user, "cannot free a session; it ends with the lease");
        }
    }
}

struct Task {
    storage: Arc<dyn Storage>,
    key: NodeKey,
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

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::new();
        loop {
            let taken = tokio::time::timeout_at(self.next_look(), queue.recv_many(&mut jobs, BATCH)).await;
            if taken == Ok(0) {
                return;
            }
            let (mut claims, mut endings) = (Vec::new(), Vec::new());
            if Instant::now() >= self.busy_until {
                claims.append(&mut self.busy);
            }
            for job in jobs.drain(..) {
                match job {
                    Job::Claim(asked) => claims.push(asked),
                    Job::Release(ending) => endings.push(ending),
                }
            }
            // Releases first: a takeover on this node claims what it has just had released.
            self.release(endings).await;
            self.claim(claims).await;
            if self.has_unfinished() && Instant::now() >= self.retry_at {
                self.retry().await;
                self.retry_at = Instant::now() + RETRY;
            }
        }
    }

    fn has_unfinished(&self) -> bool {
        !self.endings.is_empty() || !self.doubtful.is_empty()
    }

    fn next_look(&self) -> Instant {
        let far = Duration::from_secs(24 * 60 * 60);
        let busy = (!self.busy.is_empty()).then_some(self.busy_until);
        let unfinished = self.has_unfinished().then_some(self.retry_at);
        busy.into_iter().chain(unfinished).min().unwrap_or_else(|| Instant::now() + far)
    }

    async fn claim(&mut self, mut asked: Vec<Asked>) {
        while !asked.is_empty() {
            let rest = asked.split_off(asked.len().min(BATCH));
            self.claim_batch(asked).await;
            asked = rest;
        }
    }

    async fn claim_batch(&mut self, asked: Vec<Asked>) {
        if self.doubtful.len() > MOST_DOUBTFUL {
            let full = || Error::Unavailable("too many claims have an unknown outcome".into());
            return asked.into_iter().for_each(|asked| drop(asked.reply.send(Err(full()))));
        }
        let claims: Vec<Claim> = asked.iter().map(|asked| asked.claim.clone()).collect();
        match self.storage.claim_sessions(&self.key, &claims).await {
            Ok(outcomes) => {
                for (asked, outcome) in asked.into_iter().zip(outcomes) {
                    match outcome {
                        Claimed::Busy if asked.since.elapsed() < BUSY_PATIENCE => {
                            self.busy.push(asked);
                            self.busy_until = Instant::now() + BUSY_RETRY;
                        }
                        outcome => self.answer(asked, outcome),
                    }
                }
            }
            Err(error) => {
                for Asked { claim, reply, .. } in asked {
                    self.doubtful.insert(claim.user);
                    let _ = reply.send(Err(Error::Unavailable(error.to_string())));
                }
            }
        }
    }

    fn answer(&mut self, Asked { claim, reply, .. }: Asked, outcome: Claimed) {
        if outcome != Claimed::Busy {
            self.doubtful.remove(&claim.user);
        }
        let is_won = matches!(outcome, Claimed::Won { .. });
        if reply.send(Ok(outcome)).is_err() && is_won {
            // Nobody is left to have it.
            self.doubtful.insert(claim.user);
        }
    }

    async fn release(&mut self, endings: Vec<Ending>) {
        if endings.is_empty() {
            return;
        }
        for mut ending in self.try_release(endings).await {
            let (done, end) = oneshot::channel();
            ending.done = Some(done);
            if let Some(later) = ending.later.take() {
                let _ = later.send(Released::Later(end));
            }
            self.endings.push_back(ending);
        }
    }

    /// Returns those that are not free yet, and tells whoever waits for the others.
    async fn try_release(&self, mut endings: Vec<Ending>) -> Vec<Ending> {
        let releases: Vec<Release> = endings.iter().map(|ending| ending.release).collect();
        let mut marks: Vec<Mark> = endings.iter().flat_map(|ending| &ending.marks).copied().collect();
        marks.sort_unstable_by_key(|mark| (mark.conv, mark.user));
        endings.iter_mut().for_each(|ending| ending.tries += 1);
        match save_and_free(self.storage.as_ref(), &self.key, &releases, &marks).await {
            Ok(held) => endings.retain_mut(|ending| {
                let is_held = held.contains(&ending.release.user);
                if !is_held && let Some(later) = ending.later.take() {
                    let _ = later.send(Released::Done);
                }
                is_held
            }),
            Err(error) => tracing::warn!(%error, sessions = releases.len(), "cannot free sessions, trying on"),
        }
        endings.retain(|ending| ending.tries < RELEASE_TRIES);
        endings
    }

    /// Another try at what has failed before.
    async fn retry(&mut self) {
        let batch: Vec<Ending> = self.endings.drain(..self.endings.len().min(BATCH)).collect();
        if !batch.is_empty() {
            let count = batch.len();
            let mut left = self.try_release(batch).await;
            if left.len() == count && count > 1 {
                // Perhaps it is the first of them that stands in the way of all.
                let first = self.try_release(vec![left.remove(0)]).await;
                left.extend(first);
            }
            self.endings.extend(left);
        }
        self.disown_some().await;
    }

    async fn disown_some(&mut self) {
        let after = self.doubtful.range(self.doubted + 1..).chain(self.doubtful.range(..=self.doubted));
        let mut users: Vec<UserId> = after.take(BATCH).copied().collect();
        while let Some(first) = users.first().copied() {
            match self.storage.disown_sessions(&self.key, &users).await {
                Ok(()) => {
                    self.doubtful.retain(|user| !users.contains(user));
                    return;
                }
                Err(error) if users.len() == 1 => {
                    tracing::warn!(%error, user = first, "cannot tell whose session it is, trying on");
                    return;
                }
                // Perhaps it is the first of them that stands in the way of all: next time they begin behind it.
                Err(_) => users.truncate(1),
            }
            self.doubted = first;
        }
    }
}

async fn save_and_free(
    storage: &dyn Storage,
    key: &NodeKey,
    releases: &[Release],
    marks: &[Mark],
) -> Result<Vec<UserId>> {
    if !marks.is_empty() {
        storage.mark_received(Some(key), marks).await?;
    }
    storage.release_sessions(key, releases).await
}
