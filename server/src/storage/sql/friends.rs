//! Friendship: two rows, and a conversation that outlives it.

use super::changes::ChangeId;
use super::columns::state;
use super::conversations::are_friends;
use super::locks::{bump_version, lock, lock_or_make};
use super::nodes::JOIN_LIVE_NODE;
use super::pages::first_of_each;
use super::session_rows::confirm;
use super::storage::{SqlStorage, change, read};
use crate::storage::engine::{Connection, Result, Row};
use crate::storage::{self, Actor, Befriended, Friends};
use async_trait::async_trait;
use chat_protocol::conversation::{Conversation, UserId};
use chat_protocol::message::Friend;

#[async_trait]
impl Friends for SqlStorage {
    async fn add_friend(&self, by: &Actor, friend: UserId) -> storage::Result<Befriended> {
        let convs = [Conversation::direct(by.user, friend)];
        let in_doubt = |done: &Befriended| !matches!(done, Befriended::Done(_));
        change!(self, by, &convs, conn, change => add(conn, by, friend, change), in doubt in_doubt)
    }

    async fn remove_friend(&self, by: &Actor, friend: UserId) -> storage::Result<bool> {
        let convs = [Conversation::direct(by.user, friend)];
        change!(self, by, &convs, conn, change => remove(conn, by, friend, change), in doubt |is_done| !is_done)
    }

    async fn friends(&self, users: &[UserId], limit: u32) -> storage::Result<Vec<Vec<Friend>>> {
        read!(self, conn => list(conn, users, limit))
    }

    async fn online_friends(&self, user: UserId, limit: u32) -> storage::Result<Vec<UserId>> {
        read!(self, conn => online(conn, user, limit))
    }
}

async fn add(conn: &mut dyn Connection, by: &Actor, friend: UserId, change: ChangeId) -> Result<Befriended> {
    let user = by.user;
    let known = if user == friend { None } else { known(conn, friend).await? };
    let Some(known) = known else {
        return Ok(Befriended::NoSuchUser);
    };
    let conv = Conversation::direct(user, friend);
    let locked = lock_or_make(conn, conv).await?;
    confirm(conn, by).await?;
    if are_friends(conn, user, friend).await? {
        return Ok(Befriended::Already);
    }
    let dialect = conn.dialect();
    let both = [user.into(), friend.into(), friend.into(), user.into()];
    conn.run(&dialect.insert_ignore("INTO friend (userid, friendid) VALUES (?, ?), (?, ?)"), &both).await?;
    // Those who were friends before keep their cursors.
    const MEMBERS: &str = "INTO member (conv, userid, received_seq, joined) VALUES (?, ?, ?, ?), (?, ?, ?, ?)";
    let member = |user: UserId| [conv.into(), user.into(), locked.last_seq.into(), (locked.version + 1).into()];
    conn.run(&dialect.insert_ignore(MEMBERS), &[member(user.min(friend)), member(user.max(friend))].concat()).await?;
    bump_version(conn, conv, change).await?;
    Ok(Befriended::Done(known))
}

async fn remove(conn: &mut dyn Connection, by: &Actor, friend: UserId, change: ChangeId) -> Result<bool> {
    let user = by.user;
    let conv = Conversation::direct(user, friend);
    if lock(conn, conv).await?.is_none() {
        return Ok(false);
    }
    confirm(conn, by).await?;
    const REMOVE: &str = "DELETE FROM friend WHERE (userid = ? AND friendid = ?) OR (userid = ? AND friendid = ?)";
    let removed = conn.run(REMOVE, &[user.into(), friend.into(), friend.into(), user.into()]).await?;
    if removed.affected == 0 {
        return Ok(false);
    }
    bump_version(conn, conv, change).await?;
    Ok(true)
}

async fn list(conn: &mut dyn Connection, users: &[UserId], limit: u32) -> Result<Vec<Vec<Friend>>> {
    const FIRST: &str = "SELECT f.userid, u.id, u.name FROM friend f JOIN user u ON u.id = f.friendid \
                         WHERE f.userid = ? ORDER BY f.friendid LIMIT ?";
    let whole = |pages: &str| with_presence("u.userid", &format!("{pages} AS u"), "");
    let read = |row: &Row| Ok((row.number(3)?, row.number(0)?, read_friend(row)?));
    first_of_each(conn, users, limit, FIRST, whole, read).await
}

async fn online(conn: &mut dyn Connection, user: UserId, limit: u32) -> Result<Vec<UserId>> {
    let sql = format!(
        "SELECT f.friendid FROM friend f JOIN session s ON s.userid = f.friendid {JOIN_LIVE_NODE} \
         WHERE f.userid = ? AND n.id IS NOT NULL ORDER BY f.friendid LIMIT ?"
    );
    let rows = conn.rows(&sql, &[user.into(), limit.into()]).await?;
    rows.iter().map(|row| Ok(row.number(0)?)).collect()
}

/// A user, be it a friend or not.
async fn known(conn: &mut dyn Connection, user: UserId) -> Result<Option<Friend>> {
    let sql = with_presence("u.id", "user u", " WHERE u.id = ?");
    let row = conn.first(&sql, &[user.into()]).await?;
    row.as_ref().map(read_friend).transpose()
}

/// What [`read_friend`] reads of each user `u`, and one column more.
fn with_presence(column: &str, users: &str, condition: &str) -> String {
    format!(
        "SELECT u.id, u.name, n.id IS NOT NULL, {column} FROM {users} \
         LEFT JOIN session s ON s.userid = u.id {JOIN_LIVE_NODE}{condition}"
    )
}

fn read_friend(row: &Row) -> Result<Friend> {
    Ok(Friend { id: row.number(0)?, name: row.text(1)?.to_string(), state: state(row, 2)? })
}
