//! Takes and frees session rows for the whole node, many in one transaction.
//!
//! Eighteen thousand clients that come back at once must not mean eighteen thousand flushes of the disk. The cursors of
//! an ending session are saved before its row is freed, so that the next session starts where this one stopped; what
//! cannot be saved now is tried on, and meanwhile the user cannot log in. A claim whose outcome is unknown may have put
//! this node's name into a row that nobody stands behind: such rows are freed again as soon as the database tells.
//! [`Backlog`] decides all that; here is the task that asks the database.

mod backlog;
#[cfg(test)]
mod model;

pub use backlog::Released;

use crate::cluster::NodeKey;
use crate::failpoint::{self, Failpoint};
use crate::storage::{Claim, Claimed, Error, Mark, Release, Result, Storage};
use backlog::{Ask, Asked, BATCH, Backlog, Ending, Job};
use chat_environment::Tasks;
use chat_protocol::conversation::UserId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Claims and releases that wait; beyond it the caller waits too.
const QUEUE: usize = 4_096;
/// The next look where nothing is due.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone)]
pub struct Claims {
    jobs: mpsc::Sender<Job>,
    rows: Rows,
    /// For one who frees a row when the task has died.
    tasks: Tasks,
}

impl Claims {
    /// Starts the task behind it, which ends when every `Claims` is gone.
    pub fn start(tasks: &Tasks, storage: Arc<dyn Storage>, key: NodeKey) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let rows = Rows { storage, key };
        tasks.spawn("claims", run(rows.clone(), queue));
        Claims { jobs, rows, tasks: tasks.clone() }
    }

    pub async fn claim(&self, claim: Claim) -> Result<Claimed> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::Unavailable("the node is stopping".into());
        self.jobs.send(Job::Claim(Asked { claim, since: Instant::now(), reply })).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Saves the cursors and frees the row. Returns when that is done or has failed once; then it is tried on in the
    /// background, for ten minutes.
    pub async fn release(&self, release: Release, marks: Vec<Mark>) -> Released {
        let (tell, tried) = oneshot::channel();
        if self.jobs.send(Job::Release(Ending::new(release, marks.clone(), tell))).await.is_ok()
            && let Ok(released) = tried.await
        {
            return released;
        }
        // The task has died. The node drains then, and what a session leaves is saved all the same, unless that is what
        // the task died of.
        let releases = [release];
        let freeing = self.rows.save_and_free(&releases, &marks);
        if let Ok(Err(error)) = self.tasks.catch("freeing a session", freeing).await {
            tracing::warn!(%error, user = release.user, "cannot free a session; it ends with the lease");
        }
        Released::Done
    }
}

async fn run(rows: Rows, mut queue: mpsc::Receiver<Job>) {
    let mut backlog = Backlog::new(Instant::now());
    let mut jobs = Vec::new();
    loop {
        let due = backlog.next_due().unwrap_or_else(|| Instant::now() + FAR);
        if timeout_at(due, queue.recv_many(&mut jobs, BATCH)).await == Ok(0) {
            return;
        }
        backlog.add(jobs.drain(..), Instant::now());
        while let Some(ask) = backlog.next(Instant::now()) {
            rows.ask(ask, &mut backlog).await;
        }
    }
}

/// The session rows, in this node's name.
#[derive(Clone)]
struct Rows {
    storage: Arc<dyn Storage>,
    key: NodeKey,
}

impl Rows {
    async fn ask(&self, ask: Ask, backlog: &mut Backlog) {
        match ask {
            Ask::Free(endings) => {
                let releases: Vec<Release> = endings.iter().map(|ending| ending.release).collect();
                let mut marks: Vec<Mark> = endings.iter().flat_map(|ending| &ending.marks).copied().collect();
                marks.sort_unstable_by_key(|mark| (mark.conv, mark.user));
                let answer = self.save_and_free(&releases, &marks).await;
                backlog.freed(endings, answer, Instant::now());
            }
            Ask::Claim(asked) => {
                let claims: Vec<Claim> = asked.iter().map(|asked| asked.claim.clone()).collect();
                let answer = self.storage.claim_sessions(&self.key, &claims).await;
                backlog.claimed(asked, answer, Instant::now());
            }
            Ask::Disown(users) => {
                let answer = self.storage.disown_sessions(&self.key, &users).await;
                backlog.disowned(users, answer, Instant::now());
            }
        }
    }

    /// Returns the users whose row another transaction holds.
    async fn save_and_free(&self, releases: &[Release], marks: &[Mark]) -> Result<Vec<UserId>> {
        if !marks.is_empty() && !failpoint::hits(Failpoint::ClaimsFreeUnsaved) {
            self.storage.mark_received(Some(&self.key), marks).await?;
        }
        self.storage.release_sessions(&self.key, releases).await
    }
}
