//! Takes and frees session rows for the whole node, many in one transaction.
//!
//! Eighteen thousand clients that come back at once must not mean eighteen thousand flushes of the disk. The cursors of an ending session
//! are saved before its row is freed, so that the next session starts where this one stopped.

use crate::cluster::NodeKey;
use crate::storage::{Claim, Claimed, Error, Mark, Release, Result, Storage};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Claims and releases that wait; beyond it the caller waits too.
const QUEUE: usize = 4_096;
/// Claims and releases in one transaction.
const BATCH: usize = 256;
/// Wait between two tries to free a row.
const RETRY: Duration = Duration::from_millis(500);
/// Tries to free a row (ten minutes of them); given up, it is free again only to this node, or at its next start.
const RELEASE_TRIES: u32 = 1_200;

enum Job {
    Claim(Claim, oneshot::Sender<Result<Claimed>>),
    Release(Release, Vec<Mark>, oneshot::Sender<()>),
}

#[derive(Clone)]
pub struct Seats {
    jobs: mpsc::Sender<Job>,
}

impl Seats {
    /// Starts the task behind it, which ends when every `Seats` is gone.
    pub fn start(storage: Arc<dyn Storage>, key: NodeKey) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        tokio::spawn(Task { storage, key }.run(queue));
        Seats { jobs }
    }

    pub async fn claim(&self, claim: Claim) -> Result<Claimed> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::Unavailable("the node is stopping".into());
        self.jobs.send(Job::Claim(claim, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Saves the cursors and frees the row. Returns when that is done or has failed once; then it is tried on in the
    /// background, up to [`RELEASE_TRIES`] times.
    pub async fn release(&self, release: Release, marks: Vec<Mark>) {
        let (reply, done) = oneshot::channel();
        if self.jobs.send(Job::Release(release, marks, reply)).await.is_ok() {
            let _ = done.await;
        }
    }
}

struct Task {
    storage: Arc<dyn Storage>,
    key: NodeKey,
}

impl Task {
    async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::new();
        while queue.recv_many(&mut jobs, BATCH).await > 0 {
            let (mut claims, mut releases) = (Vec::new(), Vec::new());
            for job in jobs.drain(..) {
                match job {
                    Job::Claim(claim, reply) => claims.push((claim, reply)),
                    Job::Release(release, marks, done) => releases.push((release, marks, done)),
                }
            }
            // Releases first: a takeover on this node claims what it has just had released.
            self.release(releases).await;
            self.claim(claims).await;
        }
    }

    async fn claim(&self, asked: Vec<(Claim, oneshot::Sender<Result<Claimed>>)>) {
        if asked.is_empty() {
            return;
        }
        let (claims, replies): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        match self.storage.claim_sessions(&self.key, &claims).await {
            Ok(outcomes) => {
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(Error::Unavailable(error.to_string())));
                }
            }
        }
    }

    async fn release(&self, asked: Vec<(Release, Vec<Mark>, oneshot::Sender<()>)>) {
        if asked.is_empty() {
            return;
        }
        let releases: Vec<Release> = asked.iter().map(|(release, ..)| *release).collect();
        let marks: Vec<Mark> = asked.iter().flat_map(|(_, marks, _)| marks).copied().collect();
        if let Err(error) = self.try_release(&releases, &marks).await {
            tracing::warn!(%error, sessions = releases.len(), "cannot free sessions, trying on in the background");
            let retry = Task { storage: self.storage.clone(), key: self.key.clone() };
            tokio::spawn(async move { retry.release_later(releases, marks).await });
        }
        // Dropping what was asked tells the callers.
    }

    async fn release_later(self, releases: Vec<Release>, marks: Vec<Mark>) {
        for _ in 0..RELEASE_TRIES {
            tokio::time::sleep(RETRY).await;
            if self.try_release(&releases, &marks).await.is_ok() {
                return;
            }
        }
    }

    async fn try_release(&self, releases: &[Release], marks: &[Mark]) -> Result<()> {
        if !marks.is_empty() {
            self.storage.mark_received(marks).await?;
        }
        self.storage.release_sessions(&self.key, releases).await
    }
}
