//! Messages that were stored before under the same mid.

use super::batch::Batch;
use crate::failpoint::{self, Failpoint};
use crate::storage::Appended;
use crate::storage::engine::{Connection, Result, Value};
use crate::storage::sql::columns::{conversation, epoch};
use crate::storage::sql::lists::any_of;
use chat_protocol::conversation::{Conversation, LogEpoch, UserId};
use chat_protocol::message::TimeMs;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Mids looked up in one statement.
const MIDS_AT_ONCE: usize = 64;

/// What the database holds under a (sender, mid).
struct StoredMessage {
    conv: Conversation,
    seq: u64,
    time: TimeMs,
    body: Arc<str>,
    log_epoch: LogEpoch,
}

impl Batch<'_> {
    /// Settles those of the messages that the database holds already.
    pub async fn settle_stored(&mut self, conn: &mut dyn Connection, messages: &[usize]) -> Result<()> {
        let stored = self.find_stored(conn, messages).await?;
        for at in messages {
            if let Some(found) = stored.get(&self.key(*at)) {
                self.outcomes[*at] = Some(self.compare(*at, found));
            }
        }
        Ok(())
    }

    /// Who may no longer post may have sent this very message before: a resend is answered as such.
    pub async fn answer_refused(&self, conn: &mut dyn Connection, refused: &[usize]) -> Result<Vec<(usize, Appended)>> {
        let stored = self.find_stored(conn, refused).await?;
        let answer = |at: &usize| {
            let found = stored.get(&self.key(*at));
            (*at, found.map_or(Appended::NotAllowed, |found| self.compare(*at, found)))
        };
        Ok(refused.iter().map(answer).collect())
    }

    async fn find_stored(
        &self,
        conn: &mut dyn Connection,
        messages: &[usize],
    ) -> Result<HashMap<(UserId, Uuid), StoredMessage>> {
        let mut found = HashMap::new();
        for messages in messages.chunks(MIDS_AT_ONCE) {
            let key =
                |at: &usize| (self.messages[*at].sender, Value::Bytes(self.messages[*at].mid.as_bytes().to_vec()));
            let keys: Vec<(UserId, Value)> = messages.iter().map(key).collect();
            let (condition, values) = any_of(["sender", "mid"], &keys);
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
        let message = &self.messages[at];
        let is_same = message.conv == stored.conv && message.msg == stored.body;
        if is_same && !failpoint::hits(Failpoint::WriterDisown) {
            Appended::Duplicate { seq: stored.seq, time: stored.time, log_epoch: stored.log_epoch }
        } else {
            Appended::MidReused
        }
    }
}
