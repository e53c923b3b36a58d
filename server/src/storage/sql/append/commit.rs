//! One transaction of a batch, tried again without the messages that turn out to be stored.

use super::batch::Batch;
use crate::storage::Error;
use crate::storage::engine::{Connection, Fault, Result};
use crate::storage::sql::storage::settle;

/// How often a batch is tried in which mids turn up as stored; each time they do, fewer are left.
const COMMIT_ATTEMPTS: u32 = 4;

impl Batch<'_> {
    /// Commits the messages; those whose mid is in the database already are answered with what is there.
    pub async fn commit_with_duplicates(
        &mut self,
        conn: &mut dyn Connection,
        messages: &[usize],
        locking: &str,
    ) -> Result<()> {
        let mut messages: Vec<usize> = messages.iter().filter(|at| self.outcomes[**at].is_none()).copied().collect();
        for _ in 0..COMMIT_ATTEMPTS {
            if messages.is_empty() {
                return Ok(());
            }
            match self.commit(conn, &messages, locking).await {
                Err(Fault::Duplicate) => self.settle_stored(conn, &messages).await?,
                outcome => return outcome,
            }
            messages.retain(|at| self.outcomes[*at].is_none());
        }
        Err(Error::Unavailable("a message's key is taken, but not by its mid".into()).into())
    }

    async fn commit(&mut self, conn: &mut dyn Connection, messages: &[usize], locking: &str) -> Result<()> {
        conn.begin().await?;
        let losses_before = self.losses.clone();
        let transaction = self.transaction(conn, messages, locking).await;
        let stored = match transaction {
            // The lease may have run out while this waited for locks: then another node owns these sessions.
            Ok(_) if !(self.by.fence)() => Err(Error::LeaseLost.into()),
            outcome => outcome,
        };
        let settled = settle(conn, stored).await;
        if settled.is_err() {
            // What was taken for a loss may only not have come here yet.
            self.losses = losses_before;
        }
        for (at, outcome) in settled? {
            self.outcomes[at] = Some(outcome);
        }
        Ok(())
    }
}
