//! Appending messages to conversations: a whole batch in one transaction.
//!
//! The conversation rows stay locked from before the sequence numbers are given until COMMIT, so commit order is seq
//! order and nobody joins or leaves in between. Everything that goes wrong for one message (sent before, not allowed,
//! conversation blocked, not to the database's taste) is settled for that message alone; the rest goes again.

use super::changes::Change;
use super::conversations::{Locked, audiences, begin_epoch, conversation, epoch, lock_all};
use crate::storage::engine::{Connection, Fault, Result, Value, padded_values, power_of_two_chunks, repeated};
use super::sessions::confirm_all;
use crate::cluster::NodeKey;
use crate::failpoint::{self, Failpoint};
use crate::storage::{Append, Appended, AppendedBatch, Audience, Error, Fence};
use chat_protocol::conversation::{Conversation, LogEpoch, UserId};
use chat_protocol::message::TimeMs;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// Rows in one INSERT.
const ROWS_AT_ONCE: usize = 128;
/// Mids looked up in one statement.
const MIDS_AT_ONCE: usize = 64;
/// Refused parts of a batch that are divided further where the database does not say that a value is to blame. Finding
/// one message takes one for each halving; where the whole database refuses, a few are enough to know.
const PARTS_DIVIDED: u32 = 20;
/// How often a batch is tried in which mids turn up as stored; each time they do, fewer are left.
const COMMIT_ATTEMPTS: u32 = 4;

pub async fn append(
    conn: &mut dyn Connection,
    by: Appender<'_>,
    batch: &[Append],
    now: TimeMs,
) -> Result<AppendedBatch> {
    let mut writer = Writer::new(by, batch, now);
    let mut pending: Vec<usize> = (0..batch.len()).collect();
    // Usually one round. Where a mid comes twice, the later message waits for what becomes of the first.
    while !pending.is_empty() {
        let (firsts, later) = writer.split_by_mid(pending);
        match writer.store(conn, firsts).await {
            // Not an error of the call: an earlier round is committed.
            Err(fault) if writer.has_stored() => {
                tracing::warn!(%fault, "some messages of a batch could not be stored");
                break;
            }
            outcome => outcome?,
        }
        pending = writer.settle_repeated(later);
    }
    Ok(writer.finish())
}

/// Who appends.
#[derive(Clone, Copy)]
pub struct Appender<'a> {
    pub key: &'a NodeKey,
    pub change: Change,
    pub fence: Fence<'a>,
}

struct Writer<'a> {
    by: Appender<'a>,
    batch: &'a [Append],
    now: TimeMs,
    outcomes: Vec<Option<Appended>>,
    audiences: BTreeMap<Conversation, Audience>,
    losses: BTreeSet<Conversation>,
}

/// What the database holds under a (sender, mid).
struct StoredMessage {
    conv: Conversation,
    seq: u64,
    time: TimeMs,
    body: Arc<str>,
    log_epoch: LogEpoch,
}

impl<'a> Writer<'a> {
    fn new(by: Appender<'a>, batch: &'a [Append], now: TimeMs) -> Self {
        Writer {
            by,
            batch,
            now,
            outcomes: vec![None; batch.len()],
            audiences: BTreeMap::new(),
            losses: BTreeSet::new(),
        }
    }

    fn finish(self) -> AppendedBatch {
        // Whatever has no outcome was not stored.
        let outcomes = self.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Appended::Blocked)).collect();
        let losses = self.losses.into_iter().collect();
        AppendedBatch { outcomes, audiences: self.audiences.into_iter().collect(), losses }
    }

    fn has_stored(&self) -> bool {
        self.outcomes.iter().any(|outcome| matches!(outcome, Some(Appended::Stored { .. })))
    }

    /// The first of each (sender, mid), and the others with the index of theirs.
    fn split_by_mid(&self, pending: Vec<usize>) -> (Vec<usize>, Vec<(usize, usize)>) {
        let mut first_of = HashMap::with_capacity(pending.len());
        let (mut firsts, mut later) = (Vec::with_capacity(pending.len()), Vec::new());
        for at in pending {
            let first = *first_of.entry(self.key(at)).or_insert(at);
            if first == at { firsts.push(at) } else { later.push((at, first)) }
        }
        (firsts, later)
    }

    /// Answers repetitions within the batch; returns those that a first one which was not stored leaves open.
    fn settle_repeated(&mut self, later: Vec<(usize, usize)>) -> Vec<usize> {
        let mut open = Vec::new();
        for (at, first) in later {
            let (message, original) = (&self.batch[at], &self.batch[first]);
            let is_same = message.conv == original.conv && message.msg == original.msg;
            self.outcomes[at] = match self.outcomes[first] {
                Some(Appended::Stored { seq, log_epoch }) if is_same => {
                    Some(Appended::Duplicate { seq, time: self.now, log_epoch })
                }
                outcome if is_same => outcome,
                Some(Appended::Stored { .. } | Appended::Duplicate { .. }) => Some(Appended::MidReused),
                _ => {
                    open.push(at);
                    None
                }
            };
        }
        open
    }

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
            let Append { conv, sender, .. } = &self.batch[at];
            tracing::warn!(%conv, sender, %fault, "the database refused a message");
            let is_final = matches!(fault, Fault::Data(_));
            return self.settle_open(&part, if is_final { Appended::Unstorable } else { Appended::Blocked });
        }
        let later = part.split_off(part.len() / 2);
        parts.extend([later, part]);
    }

    fn settle_open(&mut self, messages: &[usize], outcome: Appended) {
        for at in messages {
            self.outcomes[*at].get_or_insert(outcome);
        }
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
            by_conv.entry(self.batch[*at].conv).or_default().push(*at);
        }
        for (conv, messages) in by_conv {
            let dialect = conn.dialect();
            let locking = if has_waited { dialect.for_update_nowait } else { dialect.for_update };
            let stored = match self.commit_with_duplicates(conn, &messages, locking).await {
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

    /// Commits the messages; those whose mid is in the database already are answered with what is there.
    async fn commit_with_duplicates(
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
        let transaction = self.transaction(conn, messages, locking).await;
        let stored = match transaction {
            // The lease may have run out while this waited for locks: then another node owns these sessions.
            Ok(_) if !(self.by.fence)() => Err(Error::LeaseLost.into()),
            outcome => outcome,
        };
        for (at, outcome) in super::settle(conn, stored).await? {
            self.outcomes[at] = Some(outcome);
        }
        Ok(())
    }

    /// All of the transaction but BEGIN and COMMIT; what it returns holds once that is done.
    async fn transaction(
        &mut self,
        conn: &mut dyn Connection,
        messages: &[usize],
        locking: &str,
    ) -> Result<Vec<(usize, Appended)>> {
        let convs: BTreeSet<Conversation> = messages.iter().map(|at| self.batch[*at].conv).collect();
        let convs: Vec<Conversation> = convs.into_iter().collect();
        let mut locked = lock_all(conn, &convs, locking).await?;
        self.note_losses(conn, &mut locked, messages).await?;
        self.reload_audiences(conn, &locked, messages).await?;

        let (messages, gone) = self.split_by_session(conn, messages).await?;
        let (allowed, refused): (Vec<usize>, Vec<usize>) =
            messages.iter().partition(|at| self.is_allowed(**at, &locked));
        let mut outcomes = self.answer_refused(conn, &refused).await?;
        outcomes.extend(gone.into_iter().map(|at| (at, Appended::SessionGone)));
        for at in &allowed {
            // Allowed ones are in a conversation that was found and locked.
            if let Some(conversation) = locked.get_mut(&self.batch[*at].conv) {
                conversation.last_seq += 1;
                let (seq, log_epoch) = (conversation.last_seq, conversation.log_epoch);
                outcomes.push((*at, Appended::Stored { seq, log_epoch }));
            }
        }
        let stored: Vec<(usize, u64, LogEpoch)> = (outcomes.iter())
            .filter_map(|(at, outcome)| match outcome {
                Appended::Stored { seq, log_epoch } => Some((*at, *seq, *log_epoch)),
                _ => None,
            })
            .collect();
        if !stored.is_empty() {
            self.insert(conn, &stored).await?;
            self.bump(conn, &stored, &locked).await?;
        }
        Ok(outcomes)
    }

    /// Where a log ends before what is known of it, the database has lost commits: what is said now is of another
    /// epoch.
    async fn note_losses(
        &mut self,
        conn: &mut dyn Connection,
        locked: &mut BTreeMap<Conversation, Locked>,
        messages: &[usize],
    ) -> Result<()> {
        for at in messages {
            let message = &self.batch[*at];
            if let Some(of) = locked.get_mut(&message.conv).filter(|of| of.end() < message.known_end) {
                begin_epoch(conn, message.conv, of, message.known_end, self.by.change).await?;
                self.losses.insert(message.conv);
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
        let fenced = messages.iter().map(|at| &self.batch[*at]).filter(|message| message.epoch.is_some());
        let senders: BTreeSet<UserId> = fenced.map(|message| message.sender).collect();
        let epochs = confirm_all(conn, self.by.key, &senders.into_iter().collect::<Vec<_>>()).await?;
        let is_there = |at: &usize| {
            let message = &self.batch[*at];
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
        let changed: BTreeSet<Conversation> = (messages.iter().map(|at| &self.batch[*at]))
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
        let message = &self.batch[at];
        let Some(locked) = locked.get(&message.conv) else { return false };
        message.allowed_under == locked.version
            || self.audiences.get(&message.conv).is_some_and(|audience| audience.may_post(message.sender))
    }

    /// Who may no longer post may have sent this very message before: a resend is answered as such.
    async fn answer_refused(&self, conn: &mut dyn Connection, refused: &[usize]) -> Result<Vec<(usize, Appended)>> {
        let stored = self.find_stored(conn, refused).await?;
        let answer = |at: &usize| {
            let found = stored.get(&self.key(*at));
            (*at, found.map_or(Appended::NotAllowed, |found| self.compare(*at, found)))
        };
        Ok(refused.iter().map(answer).collect())
    }

    async fn settle_stored(&mut self, conn: &mut dyn Connection, messages: &[usize]) -> Result<()> {
        let stored = self.find_stored(conn, messages).await?;
        for at in messages {
            if let Some(found) = stored.get(&self.key(*at)) {
                self.outcomes[*at] = Some(self.compare(*at, found));
            }
        }
        Ok(())
    }

    async fn find_stored(
        &self,
        conn: &mut dyn Connection,
        messages: &[usize],
    ) -> Result<HashMap<(UserId, Uuid), StoredMessage>> {
        let mut found = HashMap::new();
        for messages in messages.chunks(MIDS_AT_ONCE) {
            let condition = repeated("(sender = ? AND mid = ?)", " OR ", messages.len());
            let values = padded_values(messages, |at, values| {
                let (sender, mid) = self.key(*at);
                values.extend([sender.into(), Value::Bytes(mid.as_bytes().to_vec())]);
            });
            let sql = format!("SELECT sender, mid, conv, seq, time, body, log_epoch FROM message WHERE {condition}");
            for row in conn.rows(&sql, &values).await? {
                let mid = Uuid::from_slice(row.bytes(1)?).unwrap_or_default();
                let (conv, body) = (conversation(&row, 2)?, row.text(5)?);
                let (seq, time, log_epoch) = (row.number(3)?, row.int(4)?, epoch(&row, 6)?);
                let stored = StoredMessage { conv, seq, time, body, log_epoch };
                found.insert((row.number(0)?, mid), stored);
            }
        }
        Ok(found)
    }

    fn compare(&self, at: usize, stored: &StoredMessage) -> Appended {
        let message = &self.batch[at];
        if message.conv == stored.conv && message.msg == stored.body {
            Appended::Duplicate { seq: stored.seq, time: stored.time, log_epoch: stored.log_epoch }
        } else {
            Appended::MidReused
        }
    }

    async fn insert(&self, conn: &mut dyn Connection, stored: &[(usize, u64, LogEpoch)]) -> Result<()> {
        for chunk in power_of_two_chunks(stored, ROWS_AT_ONCE) {
            let rows = repeated("(?, ?, ?, ?, ?, ?, ?, ?)", ", ", chunk.len());
            let mut values = Vec::with_capacity(chunk.len() * 8);
            for (at, seq, log_epoch) in chunk {
                let message = &self.batch[*at];
                let mid = if failpoint::hits(Failpoint::WriterForgetMid) { Uuid::now_v7() } else { message.mid };
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
                ]);
            }
            const INTO: &str = "INSERT INTO message (conv, seq, sender, mid, time, body, sent_as, log_epoch) VALUES";
            let sql = format!("{INTO} {rows}");
            conn.run(&sql, &values).await?;
        }
        Ok(())
    }

    /// Moves the ends of the conversations, in one statement: the rows exist, so this INSERT only ever updates.
    async fn bump(
        &self,
        conn: &mut dyn Connection,
        stored: &[(usize, u64, LogEpoch)],
        locked: &BTreeMap<Conversation, Locked>,
    ) -> Result<()> {
        let convs: BTreeSet<Conversation> = stored.iter().map(|(at, ..)| self.batch[*at].conv).collect();
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
        let Change { run, number } = self.by.change;
        let values = padded_values(&ends, |(conv, end), values| {
            values.extend([(*conv).into(), (*end).into(), run.into(), number.into()]);
        });
        conn.run(&sql, &values).await?;
        Ok(())
    }

    fn key(&self, at: usize) -> (UserId, Uuid) {
        (self.batch[at].sender, self.batch[at].mid)
    }
}
