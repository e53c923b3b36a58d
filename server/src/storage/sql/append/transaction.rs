//! What happens in the transaction that appends: from the locks to the conversations' new ends.

use super::batch::Batch;
use crate::failpoint;
use crate::storage::engine::{Connection, Result, Value};
use crate::storage::sql::changes::ChangeId;
use crate::storage::sql::conversations::audiences;
use crate::storage::sql::lists::{padded_values, power_of_two_chunks, repeated};
use crate::storage::sql::locks::{Locked, lock_all, make_up_for_loss};
use crate::storage::sql::session_rows::confirm_all;
use crate::storage::{AgeMs, Append, Appended, Change};
use chat_protocol::conversation::{Conversation, LogEpoch, UserId};
use std::collections::{BTreeMap, BTreeSet};

/// Rows in one INSERT.
const ROWS_AT_ONCE: usize = 128;

/// A message that gets a place in its log.
struct Placed {
    at: usize,
    seq: u64,
    log_epoch: LogEpoch,
    cluster_age: AgeMs,
}

impl Batch<'_> {
    /// All of the transaction but BEGIN and COMMIT; what it returns holds once that is done.
    pub async fn transaction(
        &mut self,
        conn: &mut dyn Connection,
        messages: &[usize],
        locking: &str,
    ) -> Result<Vec<(usize, Appended)>> {
        let convs: BTreeSet<Conversation> = messages.iter().map(|at| self.messages[*at].conv).collect();
        let convs: Vec<Conversation> = convs.into_iter().collect();
        let mut locked = lock_all(conn, &convs, locking).await?;
        self.note_losses(conn, &mut locked, messages).await?;
        self.reload_audiences(conn, &locked, messages).await?;

        let (messages, gone) = self.split_by_session(conn, messages).await?;
        let (allowed, refused): (Vec<usize>, Vec<usize>) =
            messages.iter().partition(|at| self.is_allowed(**at, &locked));
        let mut outcomes = self.answer_refused(conn, &refused).await?;
        outcomes.extend(gone.into_iter().map(|at| (at, Appended::SessionGone)));
        let placed = self.place(allowed, &mut locked);
        if !placed.is_empty() {
            self.insert(conn, &placed).await?;
            self.bump(conn, &placed, &locked).await?;
        }
        outcomes.extend(
            placed
                .iter()
                .map(|Placed { at, seq, log_epoch, .. }| (*at, Appended::Stored { seq: *seq, log_epoch: *log_epoch })),
        );
        Ok(outcomes)
    }

    /// Gives each the next place in its log. Those that are allowed are in a conversation that was found and locked.
    fn place(&self, allowed: Vec<usize>, locked: &mut BTreeMap<Conversation, Locked>) -> Vec<Placed> {
        let place = |at: usize| {
            let conversation = locked.get_mut(&self.messages[at].conv)?;
            conversation.last_seq += 1;
            let Locked { last_seq: seq, log_epoch, cluster_age, .. } = *conversation;
            Some(Placed { at, seq, log_epoch, cluster_age })
        };
        allowed.into_iter().filter_map(place).collect()
    }

    /// Where a conversation has not got as far as is known of it, the database has lost commits.
    async fn note_losses(
        &mut self,
        conn: &mut dyn Connection,
        locked: &mut BTreeMap<Conversation, Locked>,
        messages: &[usize],
    ) -> Result<()> {
        for at in messages {
            let message = &self.messages[*at];
            let known = Change { conv: message.conv, end: message.known_end, version: message.allowed_under };
            if let Some(of) = locked.get_mut(&message.conv).filter(|of| of.is_before(&known)) {
                if of.end() < known.end {
                    self.losses.insert(message.conv);
                }
                make_up_for_loss(conn, of, known, self.by.change).await?;
            }
        }
        Ok(())
    }

    /// Those of the messages whose senders' sessions are this node's, and will be until the transaction ends; and the
    /// others.
    async fn split_by_session(
        &self,
        conn: &mut dyn Connection,
        messages: &[usize],
    ) -> Result<(Vec<usize>, Vec<usize>)> {
        let fenced = messages.iter().map(|at| &self.messages[*at]).filter(|message| message.epoch.is_some());
        let senders: BTreeSet<UserId> = fenced.map(|message| message.sender).collect();
        let epochs = confirm_all(conn, self.by.key, &senders.into_iter().collect::<Vec<_>>()).await?;
        let is_there = |at: &usize| {
            let message = &self.messages[*at];
            message.epoch.is_none_or(|epoch| epochs.get(&message.sender) == Some(&epoch))
        };
        Ok(messages.iter().copied().partition(is_there))
    }

    /// Reads who may post where that is not what a message was allowed under.
    async fn reload_audiences(
        &mut self,
        conn: &mut dyn Connection,
        locked: &BTreeMap<Conversation, Locked>,
        messages: &[usize],
    ) -> Result<()> {
        let is_known = |message: &Append, version: u64| {
            message.allowed_under == version
                || self.audiences.get(&message.conv).is_some_and(|audience| audience.version == version)
        };
        let changed: BTreeSet<Conversation> = (messages.iter().map(|at| &self.messages[*at]))
            .filter(|message| locked.get(&message.conv).is_some_and(|locked| !is_known(message, locked.version)))
            .map(|message| message.conv)
            .collect();
        if !changed.is_empty() {
            let changed: Vec<Conversation> = changed.into_iter().collect();
            self.audiences.extend(audiences(conn, &changed).await?);
        }
        Ok(())
    }

    fn is_allowed(&self, at: usize, locked: &BTreeMap<Conversation, Locked>) -> bool {
        let message = &self.messages[at];
        let Some(locked) = locked.get(&message.conv) else { return false };
        message.allowed_under == locked.version
            || self.audiences.get(&message.conv).is_some_and(|audience| audience.may_post(message.sender))
    }

    async fn insert(&self, conn: &mut dyn Connection, placed: &[Placed]) -> Result<()> {
        for chunk in power_of_two_chunks(placed, ROWS_AT_ONCE) {
            let rows = repeated("(?, ?, ?, ?, ?, ?, ?, ?, ?)", ", ", chunk.len());
            let mut values = Vec::with_capacity(chunk.len() * 9);
            for Placed { at, seq, log_epoch, cluster_age } in chunk {
                let message = &self.messages[*at];
                let mid = failpoint::mid_to_store(message.mid, self.by.environment);
                let sent_as = message.sent_as.as_ref().and_then(|sent_as| serde_json::to_string(sent_as).ok());
                values.extend([
                    message.conv.into(),
                    (*seq).into(),
                    message.sender.into(),
                    Value::Bytes(mid.as_bytes().to_vec()),
                    self.now.into(),
                    Value::Text(message.msg.clone()),
                    sent_as.map_or(Value::Null, Value::from),
                    (*log_epoch).into(),
                    (*cluster_age).into(),
                ]);
            }
            const INTO: &str =
                "INSERT INTO message (conv, seq, sender, mid, time, body, sent_as, log_epoch, cluster_age)";
            let sql = format!("{INTO} VALUES {rows}");
            conn.run(&sql, &values).await?;
        }
        Ok(())
    }

    /// Moves the ends of the conversations, in one statement: the rows exist, so this INSERT only ever updates.
    async fn bump(
        &self,
        conn: &mut dyn Connection,
        placed: &[Placed],
        locked: &BTreeMap<Conversation, Locked>,
    ) -> Result<()> {
        let convs: BTreeSet<Conversation> = placed.iter().map(|message| self.messages[message.at].conv).collect();
        let ends: Vec<(Conversation, u64)> =
            convs.iter().filter_map(|conv| Some((*conv, locked.get(conv)?.last_seq))).collect();
        let dialect = conn.dialect();
        let sql = format!(
            "INSERT INTO conversation (id, last_seq, changed_by, change_number) VALUES {} {} \
             last_seq = {}, changed_by = {}, change_number = {}",
            repeated("(?, ?, ?, ?)", ", ", ends.len()),
            dialect.on_duplicate_id,
            dialect.inserted("last_seq"),
            dialect.inserted("changed_by"),
            dialect.inserted("change_number"),
        );
        let ChangeId { run, number } = self.by.change;
        let values = padded_values(&ends, |(conv, end), values| {
            values.extend([(*conv).into(), (*end).into(), run.into(), number.into()]);
        });
        conn.run(&sql, &values).await?;
        Ok(())
    }
}
