//! Who is online where, and how large conversations are.

use super::columns::conversation;
use super::lists::list;
use super::nodes::JOIN_LIVE_NODE;
use super::storage::{SqlStorage, read};
use crate::cluster::{NodeId, NodeKey};
use crate::storage::engine::{Connection, Result, Value};
use crate::storage::{self, LogSize, NodeSessions, Online, Overview};
use async_trait::async_trait;
use chat_protocol::conversation::{Conversation, GroupId, UserId};
use std::collections::BTreeMap;
use std::sync::Arc;

#[async_trait]
impl Overview for SqlStorage {
    async fn online(&self, node: Option<&NodeId>, after: UserId, limit: u32) -> storage::Result<Vec<Online>> {
        read!(self, conn => online(conn, node, after, limit))
    }

    async fn node_sessions(&self) -> storage::Result<Vec<NodeSessions>> {
        read!(self, conn => node_sessions(conn))
    }

    async fn largest_logs(&self, limit: u32) -> storage::Result<Vec<LogSize>> {
        read!(self, conn => largest_logs(conn, limit))
    }
}

async fn online(conn: &mut dyn Connection, node: Option<&NodeId>, after: UserId, limit: u32) -> Result<Vec<Online>> {
    let mut values: Vec<Value> = vec![after.into()];
    let mut condition = "";
    if let Some(node) = node {
        condition = " AND s.node = ?";
        values.push((&*node.0).into());
    }
    values.push(limit.into());
    let sql = format!(
        "SELECT s.userid, u.name, n.id FROM session s {JOIN_LIVE_NODE} JOIN user u ON u.id = s.userid \
         WHERE s.userid > ?{condition} AND n.id IS NOT NULL ORDER BY s.userid LIMIT ?"
    );
    let rows = conn.rows(&sql, &values).await?;
    rows.iter().map(|row| Ok(Online { user: row.number(0)?, name: row.text(1)?, node: NodeId(row.text(2)?) })).collect()
}

async fn node_sessions(conn: &mut dyn Connection) -> Result<Vec<NodeSessions>> {
    const COUNT: &str = "SELECT n.id, n.boot, COUNT(s.userid) FROM node n \
                         LEFT JOIN session s ON s.node = n.id AND s.boot = n.boot \
                         WHERE n.gone <> n.renewals GROUP BY n.id, n.boot ORDER BY n.id";
    let rows = conn.rows(COUNT, &[]).await?;
    let counted = rows.iter().map(|row| {
        let key = NodeKey { id: NodeId(row.text(0)?), boot: row.int(1)? };
        Ok(NodeSessions { key, sessions: row.number(2)? })
    });
    counted.collect()
}

async fn largest_logs(conn: &mut dyn Connection, limit: u32) -> Result<Vec<LogSize>> {
    // Members are counted of those alone that are in the answer.
    const LARGEST: &str = "SELECT c.id, c.first_seq, c.last_seq, \
                           (SELECT COUNT(*) FROM member m WHERE m.conv = c.id) FROM \
                           (SELECT id, first_seq, last_seq FROM conversation \
                           ORDER BY last_seq - first_seq DESC, id LIMIT ?) c \
                           ORDER BY c.last_seq - c.first_seq DESC, c.id";
    let mut sizes = Vec::new();
    for row in conn.rows(LARGEST, &[limit.into()]).await? {
        // A row that names no conversation hides nobody else's.
        let Ok(conv) = conversation(&row, 0) else { continue };
        let (first_seq, last_seq, members) = (row.number(1)?, row.number(2)?, row.number(3)?);
        sizes.push(LogSize { conv, name: None, members, first_seq, last_seq });
    }
    let names = group_names(conn, &sizes).await?;
    for size in &mut sizes {
        if let Conversation::Group(group) = size.conv {
            size.name = names.get(&group).cloned();
        }
    }
    Ok(sizes)
}

async fn group_names(conn: &mut dyn Connection, sizes: &[LogSize]) -> Result<BTreeMap<GroupId, Arc<str>>> {
    let group = |size: &LogSize| match size.conv {
        Conversation::Group(group) => Some(group),
        Conversation::Direct(..) => None,
    };
    let groups: Vec<GroupId> = sizes.iter().filter_map(group).collect();
    if groups.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (placeholders, values) = list(&groups);
    let sql = format!("SELECT id, groupname FROM allgroup WHERE id IN {placeholders}");
    let rows = conn.rows(&sql, &values).await?;
    rows.iter().map(|row| Ok((row.number(0)?, row.text(1)?))).collect()
}
