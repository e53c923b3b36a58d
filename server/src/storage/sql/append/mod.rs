//! Appending messages to conversations: a whole batch in one transaction.
//!
//! The conversation rows stay locked from before the sequence numbers are given until COMMIT, so commit order is seq
//! order and nobody joins or leaves in between. Everything that goes wrong for one message (sent before, not allowed,
//! conversation blocked, not to the database's taste) is settled for that message alone; the rest goes again.

mod batch;
mod commit;
mod duplicates;
mod transaction;

pub use batch::Appender;

use crate::storage::engine::{Connection, Fault, Result};
use crate::storage::sql::storage::wait_before_next;
use crate::storage::{Append, Appended, AppendedBatch};
use batch::Batch;
use chat_protocol::conversation::Conversation;
use chat_protocol::message::TimeMs;
use std::collections::BTreeMap;

/// Refused parts of a batch that are divided further where the database does not say that a value is to blame. Finding
/// one message takes one for each halving; where the whole database refuses, a few are enough to know.
const PARTS_DIVIDED: u32 = 20;
/// How often one conversation's messages are tried that meet a conflict: at several servers at once others may be first
/// time and again.
const CONFLICT_ATTEMPTS: u32 = 6;

pub async fn append(
    conn: &mut dyn Connection,
    by: Appender<'_>,
    messages: &[Append],
    now: TimeMs,
) -> Result<AppendedBatch> {
    let mut batch = Batch::new(by, messages, now);
    let mut pending: Vec<usize> = (0..messages.len()).collect();
    // Usually one round. Where a mid comes twice, the later message waits for what becomes of the first.
    while !pending.is_empty() {
        let (firsts, later) = batch.split_by_mid(pending);
        match batch.store(conn, firsts).await {
            // Not an error of the call: an earlier round is committed.
            Err(fault) if batch.has_stored() => {
                tracing::warn!(%fault, "some messages of a batch could not be stored");
                break;
            }
            outcome => outcome?,
        }
        if let Err(fault) = batch.look_again_at_refused(conn).await {
            tracing::warn!(%fault, "refused messages could not be looked at again");
        }
        pending = batch.settle_repeated(later);
    }
    Ok(batch.finish())
}

impl Batch<'_> {
    /// Finds an outcome for each of the messages, whose mids differ.
    async fn store(&mut self, conn: &mut dyn Connection, messages: Vec<usize>) -> Result<()> {
        let for_update = conn.dialect().for_update;
        match self.commit_with_duplicates(conn, &messages, for_update).await {
            Err(Fault::Deadlock) => self.store_one_by_one(conn, &messages, false).await,
            Err(Fault::LockTimeout) => self.store_one_by_one(conn, &messages, true).await,
            Err(fault @ (Fault::Data(_) | Fault::Refused(_))) => {
                self.store_in_parts(conn, messages, for_update, fault).await
            }
            outcome => outcome,
        }
    }

    /// Who may post is read without waiting for what other servers have committed. So a refusal is not final before
    /// that has come.
    async fn look_again_at_refused(&mut self, conn: &mut dyn Connection) -> Result<()> {
        let is_refused = |at: &usize| self.outcomes[*at] == Some(Appended::NotAllowed);
        let refused: Vec<usize> = (0..self.messages.len()).filter(is_refused).collect();
        if self.is_fresh || refused.is_empty() || !conn.freshen().await? {
            return Ok(());
        }
        self.is_fresh = true;
        refused.iter().for_each(|at| self.outcomes[*at] = None);
        self.store(conn, refused).await
    }

    async fn commit_patiently(&mut self, conn: &mut dyn Connection, messages: &[usize], locking: &str) -> Result<()> {
        let mut attempt = 1;
        loop {
            match self.commit_with_duplicates(conn, messages, locking).await {
                Err(Fault::Deadlock)
                    if wait_before_next(self.by.environment, &mut attempt, CONFLICT_ATTEMPTS).await => {}
                outcome => return outcome,
            }
        }
    }

    /// Halves what was refused until each message that is to blame stands alone. Earlier parts go first, so that
    /// messages keep their order.
    async fn store_in_parts(
        &mut self,
        conn: &mut dyn Connection,
        refused: Vec<usize>,
        locking: &str,
        fault: Fault,
    ) -> Result<()> {
        let mut parts_left = PARTS_DIVIDED;
        let mut parts = Vec::new();
        let mut outcome = Some((refused, fault));
        loop {
            if let Some((refused, fault)) = outcome.take() {
                self.divide(refused, fault, &mut parts);
            }
            let Some(part) = parts.pop() else { return Ok(()) };
            match self.commit_with_duplicates(conn, &part, locking).await {
                Ok(()) => {}
                Err(Fault::Refused(text)) if parts_left == 0 => return Err(Fault::Refused(text)),
                Err(fault @ Fault::Refused(_)) => {
                    parts_left -= 1;
                    outcome = Some((part, fault));
                }
                Err(fault @ Fault::Data(_)) => outcome = Some((part, fault)),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Puts both halves of a part on top, the earlier one uppermost; a message that stands alone is settled.
    fn divide(&mut self, mut part: Vec<usize>, fault: Fault, parts: &mut Vec<Vec<usize>>) {
        part.retain(|at| self.outcomes[*at].is_none());
        if let [at] = part[..] {
            let Append { conv, sender, .. } = &self.messages[at];
            tracing::warn!(%conv, sender, %fault, "the database refused a message");
            let is_final = matches!(fault, Fault::Data(_));
            return self.settle_open(&part, if is_final { Appended::Unstorable } else { Appended::Blocked });
        }
        let later = part.split_off(part.len() / 2);
        parts.extend([later, part]);
    }

    /// One transaction per conversation, so that one which is blocked does not hold up the others. Once a lock has been
    /// waited for in vain, no other is waited for: the whole batch has a time limit.
    async fn store_one_by_one(
        &mut self,
        conn: &mut dyn Connection,
        messages: &[usize],
        mut has_waited: bool,
    ) -> Result<()> {
        let mut by_conv: BTreeMap<Conversation, Vec<usize>> = BTreeMap::new();
        for at in messages.iter().filter(|at| self.outcomes[**at].is_none()) {
            by_conv.entry(self.messages[*at].conv).or_default().push(*at);
        }
        for (conv, messages) in by_conv {
            let dialect = conn.dialect();
            let locking = if has_waited { dialect.for_update_nowait } else { dialect.for_update };
            let stored = match self.commit_patiently(conn, &messages, locking).await {
                Err(fault @ (Fault::Data(_) | Fault::Refused(_))) => {
                    self.store_in_parts(conn, messages.clone(), locking, fault).await
                }
                outcome => outcome,
            };
            if let Err(fault) = stored {
                has_waited |= matches!(fault, Fault::LockTimeout);
                // Not an error of the call: other conversations of this batch may be committed already.
                tracing::warn!(%conv, %fault, "messages could not be stored");
                self.settle_open(&messages, Appended::Blocked);
            }
        }
        Ok(())
    }
}
