//! Friendship: two rows, and a conversation that outlives it.

use super::changes::Change;
use super::conversations::{are_friends, bump_version, lock_or_make};
use crate::storage::engine::{Connection, Result, Row};
use super::nodes::JOIN_LIVE_NODE;
use super::sessions::confirm;
use crate::storage::{Actor, Befriended};
use chat_protocol::conversation::{Conversation, UserId};
use chat_protocol::message::{Friend, State};

pub async fn add(conn: &mut dyn Connection, by: &Actor, friend: UserId, change: Change) -> Result<Befriended> {
    let user = by.user;
    if user == friend || !exist(conn, user, friend).await? {
        return Ok(Befriended::NoSuchUser);
    }
    let conv = Conversation::direct(user, friend);
    let locked = lock_or_make(conn, conv).await?;
    confirm(conn, by).await?;
    if are_friends(conn, user, friend).await? {
        return Ok(Befriended::Already);
    }
    let insert = conn.dialect().insert_ignore;
    let both = [user.into(), friend.into(), friend.into(), user.into()];
    conn.run(&format!("{insert} INTO friend (userid, friendid) VALUES (?, ?), (?, ?)"), &both).await?;
    // Those who were friends before keep their cursors.
    let members =
        format!("{insert} INTO member (conv, userid, received_seq, joined) VALUES (?, ?, ?, ?), (?, ?, ?, ?)");
    let member = |user: UserId| [conv.into(), user.into(), locked.last_seq.into(), (locked.version + 1).into()];
    conn.run(&members, &[member(user.min(friend)), member(user.max(friend))].concat()).await?;
    bump_version(conn, conv, change).await?;
    Ok(Befriended::Done)
}

pub async fn remove(conn: &mut dyn Connection, by: &Actor, friend: UserId, change: Change) -> Result<bool> {
    let user = by.user;
    let conv = Conversation::direct(user, friend);
    if super::conversations::lock(conn, conv).await?.is_none() {
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

pub async fn list(conn: &mut dyn Connection, user: UserId, limit: u32) -> Result<Vec<Friend>> {
    let sql = format!("{} WHERE f.userid = ? ORDER BY f.friendid LIMIT ?", friends_with_presence());
    let rows = conn.rows(&sql, &[user.into(), limit.into()]).await?;
    rows.iter().map(read_friend).collect()
}

pub async fn one(conn: &mut dyn Connection, user: UserId, friend: UserId) -> Result<Option<Friend>> {
    let sql = format!("{} WHERE f.userid = ? AND f.friendid = ?", friends_with_presence());
    let row = conn.first(&sql, &[user.into(), friend.into()]).await?;
    row.as_ref().map(read_friend).transpose()
}

pub async fn online(conn: &mut dyn Connection, user: UserId, limit: u32) -> Result<Vec<UserId>> {
    let sql = format!(
        "SELECT f.friendid FROM friend f JOIN session s ON s.userid = f.friendid {JOIN_LIVE_NODE} \
         WHERE f.userid = ? AND n.id IS NOT NULL ORDER BY f.friendid LIMIT ?"
    );
    let rows = conn.rows(&sql, &[user.into(), limit.into()]).await?;
    rows.iter().map(|row| Ok(row.number(0)?)).collect()
}

/// The state in a column that says whether a live node holds the user's session.
pub fn state(row: &Row, at: usize) -> Result<State> {
    Ok(if row.flag(at)? { State::Online } else { State::Offline })
}

async fn exist(conn: &mut dyn Connection, user: UserId, friend: UserId) -> Result<bool> {
    let rows = conn.rows("SELECT id FROM user WHERE id IN (?, ?)", &[user.into(), friend.into()]).await?;
    Ok(rows.len() == 2)
}

fn friends_with_presence() -> String {
    format!(
        "SELECT u.id, u.name, n.id IS NOT NULL FROM friend f JOIN user u ON u.id = f.friendid \
         LEFT JOIN session s ON s.userid = u.id {JOIN_LIVE_NODE}"
    )
}

fn read_friend(row: &Row) -> Result<Friend> {
    Ok(Friend { id: row.number(0)?, name: row.text(1)?.to_string(), state: state(row, 2)? })
}
