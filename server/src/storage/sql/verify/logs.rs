//! Each log has every message from where it begins to its end, and no other.

use crate::storage::engine::{Connection, Result, Row};
use crate::storage::sql::columns::conversation;
use crate::storage::verify::{Place, Verified, Wrong};
use chat_protocol::conversation::Conversation;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Logs in one page.
const LOGS_AT_ONCE: u32 = 256;
/// Conversations without a row that one page finds; beyond it they are not told.
const MOST_ORPHANS: u32 = 1_024;
/// Messages of a damaged log that are looked at in one statement.
const SEQS_AT_ONCE: u32 = 10_000;
/// Holes of one log that are told one by one; beyond it the last says that there are more.
const MOST_HOLES: usize = 16;

/// What there is of a log.
struct There {
    count: u64,
    first: u64,
    last: u64,
}

/// What its row says.
struct Stated {
    conv: Conversation,
    first: u64,
    last: u64,
}

pub async fn verify(conn: &mut dyn Connection, after: &Place, repair: bool) -> Result<Verified> {
    const LOGS: &str = "SELECT id, first_seq, last_seq, epoch_after FROM conversation WHERE id > ? ORDER BY id LIMIT ?";
    let rows = conn.rows(LOGS, &[(&*after.conv).into(), LOGS_AT_ONCE.into()]).await?;
    let last = rows.last().filter(|_| rows.len() == LOGS_AT_ONCE as usize).map(|row| row.text(0)).transpose()?;
    let mut there = messages(conn, &after.conv, last.as_deref()).await?;
    let next = last.map(|conv| Place { conv, ..Place::default() });
    let mut page = Verified { rows: rows.len() as u64, findings: Vec::new(), next };
    for row in &rows {
        let name = row.text(0)?;
        let there = there.remove(&name);
        let Ok(conv) = conversation(row, 0) else {
            page.find(Wrong::ConversationName, format!("{name:?}"));
            continue;
        };
        let (first, last) = (row.int(1)?, row.int(2)?);
        if first < 1 || last < 0 || first > last + 1 || row.int(3)? > last {
            page.find(Wrong::LogBounds, format!("{conv}: from {first} to {last}, epoch after {}", row.int(3)?));
            continue;
        }
        let stated = Stated { conv, first: first.unsigned_abs(), last: last.unsigned_abs() };
        if !stated.is(there.as_ref()) {
            damaged(conn, &stated, there, repair, &mut page).await?;
        }
    }
    for (name, there) in there {
        page.find(Wrong::MessagesOfNoConversation, format!("{name}: {} messages", there.count));
    }
    Ok(page)
}

impl Stated {
    fn is(&self, there: Option<&There>) -> bool {
        let count = self.last + 1 - self.first;
        match there {
            None => count == 0,
            Some(there) => there.count == count && there.first == self.first && there.last == self.last,
        }
    }
}

/// By the names of their conversations, those after `after` up to `last`.
async fn messages(conn: &mut dyn Connection, after: &str, last: Option<&str>) -> Result<BTreeMap<Arc<str>, There>> {
    let until = if last.is_some() { " AND conv <= ?" } else { "" };
    let sql = format!(
        "SELECT conv, COUNT(*), MIN(seq), MAX(seq) FROM message WHERE conv > ?{until} \
         GROUP BY conv ORDER BY conv LIMIT ?"
    );
    let mut values = vec![after.into()];
    values.extend(last.map(Into::into));
    values.push((LOGS_AT_ONCE + MOST_ORPHANS).into());
    let rows = conn.rows(&sql, &values).await?;
    rows.iter().map(|row| Ok((row.text(0)?, There::read(row)?))).collect()
}

impl There {
    fn read(row: &Row) -> Result<There> {
        Ok(There { count: row.number(1)?, first: row.number(2)?, last: row.number(3)? })
    }
}

async fn damaged(
    conn: &mut dyn Connection,
    stated: &Stated,
    there: Option<There>,
    repair: bool,
    page: &mut Verified,
) -> Result<()> {
    let Stated { conv, first, last } = *stated;
    let there = there.unwrap_or(There { count: 0, first, last });
    if there.first < first {
        if repair {
            conn.run("DELETE FROM message WHERE conv = ? AND seq < ?", &[conv.into(), first.into()]).await?;
        }
        let what = format!("{conv}: from {}, and the log begins at {first}", there.first);
        page.find_and_repair(Wrong::MessagesRemoved, what, repair);
    }
    if there.last > last {
        if repair {
            const MOVE: &str = "UPDATE conversation SET last_seq = ? WHERE id = ? AND last_seq < ?";
            conn.run(MOVE, &[there.last.into(), conv.into(), there.last.into()]).await?;
        }
        let what = format!("{conv}: up to {}, and the log ends at {last}", there.last);
        page.find_and_repair(Wrong::MessagesPastEnd, what, repair);
    }
    for (from, to) in holes(conn, stated, there.last.max(last)).await? {
        page.find(Wrong::MessagesMissing, format!("{conv}: {from} to {to}"));
    }
    Ok(())
}

/// The stretches without messages up to `last`.
async fn holes(conn: &mut dyn Connection, stated: &Stated, last: u64) -> Result<Vec<(u64, u64)>> {
    const SEQS: &str = "SELECT seq FROM message WHERE conv = ? AND seq >= ? ORDER BY seq LIMIT ?";
    let (mut holes, mut next) = (Vec::new(), stated.first);
    loop {
        let rows = conn.rows(SEQS, &[stated.conv.into(), next.into(), SEQS_AT_ONCE.into()]).await?;
        for row in &rows {
            let seq = row.number(0)?;
            if seq > next {
                holes.push((next, seq - 1));
            }
            next = seq + 1;
        }
        if rows.len() < SEQS_AT_ONCE as usize || holes.len() > MOST_HOLES {
            break;
        }
    }
    if next <= last {
        holes.push((next, last));
    }
    if holes.len() > MOST_HOLES {
        // All that is left, as one.
        let from = holes[MOST_HOLES - 1].0;
        holes.truncate(MOST_HOLES - 1);
        holes.push((from, last));
    }
    Ok(holes)
}
