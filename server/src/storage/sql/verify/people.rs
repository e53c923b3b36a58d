//! Members and their cursors, those whom groups list, and friends.

use super::{ROWS_AT_ONCE, page};
use crate::storage::engine::{Connection, Result, Row};
use crate::storage::sql::columns::conversation;
use crate::storage::sql::cursors::positions;
use crate::storage::sql::lists::any_of;
use crate::storage::verify::{Place, Verified, Wrong};
use chat_protocol::conversation::{Conversation, GroupId, UserId};
use std::collections::BTreeSet;

/// Users of groups looked up in one statement.
const PAIRS_AT_ONCE: usize = 64;

pub async fn members(conn: &mut dyn Connection, after: &Place, repair: bool) -> Result<Verified> {
    const MEMBERS: &str = "SELECT m.conv, m.userid, m.received_seq, c.last_seq, u.id FROM member m \
                           LEFT JOIN conversation c ON c.id = m.conv LEFT JOIN user u ON u.id = m.userid \
                           WHERE m.conv > ? OR (m.conv = ? AND m.userid > ?) ORDER BY m.conv, m.userid LIMIT ?";
    let conv = &*after.conv;
    let rows = conn.rows(MEMBERS, &[conv.into(), conv.into(), after.id.into(), ROWS_AT_ONCE.into()]).await?;
    let key = |row: &Row| Ok(Place { conv: row.text(0)?, id: row.number(1)?, other: 0 });
    let mut page = page(rows.len(), rows.last().map(key).transpose())?;
    let mut in_groups = Vec::new();
    for row in &rows {
        let (name, user) = (row.text(0)?, row.number(1)?);
        if let Ok(Conversation::Group(group)) = conversation(row, 0) {
            in_groups.push((group, user));
        }
        if row.int(4).is_err() {
            page.find(Wrong::UserGone, format!("user {user}, a member of {name}"));
        }
        match (row.int(2)?, row.int(3)) {
            (_, Err(_)) => page.find(Wrong::MemberOfNoConversation, format!("user {user} of {name}")),
            (received, Ok(last)) if received < 0 || received > last => {
                if repair {
                    const BACK: &str = "UPDATE member SET received_seq = ? \
                                        WHERE conv = ? AND userid = ? AND received_seq = ?";
                    conn.run(BACK, &[last.into(), (&*name).into(), user.into(), received.into()]).await?;
                }
                let what = format!("user {user} of {name}: has received {received}, and the log ends at {last}");
                page.find_and_repair(Wrong::CursorPastEnd, what, repair);
            }
            _ => {}
        }
    }
    let listed = listed(conn, &in_groups).await?;
    for (group, user) in in_groups.iter().filter(|pair| !listed.contains(pair)) {
        page.find(Wrong::MemberNotInGroup, format!("user {user}, group {group}"));
    }
    Ok(page)
}

/// Those of the pairs whose group lists the user.
async fn listed(conn: &mut dyn Connection, pairs: &[(GroupId, UserId)]) -> Result<BTreeSet<(GroupId, UserId)>> {
    let mut listed = BTreeSet::new();
    for pairs in pairs.chunks(PAIRS_AT_ONCE) {
        let (condition, values) = any_of(["groupid", "userid"], pairs);
        let sql = format!("SELECT groupid, userid FROM groupuser WHERE {condition}");
        for row in conn.rows(&sql, &values).await? {
            listed.insert((row.number(0)?, row.number(1)?));
        }
    }
    Ok(listed)
}

pub async fn group_users(conn: &mut dyn Connection, after: &Place) -> Result<Verified> {
    const USERS: &str = "SELECT gu.groupid, gu.userid, u.id FROM groupuser gu LEFT JOIN user u ON u.id = gu.userid \
                         WHERE gu.groupid > ? OR (gu.groupid = ? AND gu.userid > ?) \
                         ORDER BY gu.groupid, gu.userid LIMIT ?";
    let rows = conn.rows(USERS, &[after.id.into(), after.id.into(), after.other.into(), ROWS_AT_ONCE.into()]).await?;
    let mut page = page(rows.len(), rows.last().map(two_ids).transpose())?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        let (group, user) = (row.number(0)?, row.number(1)?);
        keys.push((Conversation::Group(group), user));
        if row.int(2).is_err() {
            page.find(Wrong::UserGone, format!("user {user}, in group {group}"));
        }
    }
    for ((conv, user), position) in keys.iter().zip(positions(conn, &keys).await?) {
        if position.is_none() {
            page.find(Wrong::GroupUserNoMember, format!("user {user} of {conv}"));
        }
    }
    Ok(page)
}

pub async fn friends(conn: &mut dyn Connection, after: &Place) -> Result<Verified> {
    const FRIENDS: &str = "SELECT f.userid, f.friendid, b.userid, u.id FROM friend f \
                           LEFT JOIN friend b ON b.userid = f.friendid AND b.friendid = f.userid \
                           LEFT JOIN user u ON u.id = f.friendid \
                           WHERE f.userid > ? OR (f.userid = ? AND f.friendid > ?) \
                           ORDER BY f.userid, f.friendid LIMIT ?";
    let rows = conn.rows(FRIENDS, &[after.id.into(), after.id.into(), after.other.into(), ROWS_AT_ONCE.into()]).await?;
    let mut page = page(rows.len(), rows.last().map(two_ids).transpose())?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        let (user, friend) = (row.number(0)?, row.number(1)?);
        keys.push((Conversation::direct(user, friend), user));
        if row.int(2).is_err() {
            page.find(
                Wrong::FriendOneSided,
                format!("user {user} has {friend} as a friend, and not the other way round"),
            );
        }
        if row.int(3).is_err() {
            page.find(Wrong::UserGone, format!("user {friend}, a friend of {user}"));
        }
    }
    for ((conv, user), position) in keys.iter().zip(positions(conn, &keys).await?) {
        if position.is_none() {
            page.find(Wrong::FriendWithoutConversation, format!("user {user} in {conv}"));
        }
    }
    Ok(page)
}

fn two_ids(row: &Row) -> Result<Place> {
    Ok(Place { id: row.number(0)?, other: row.number(1)?, ..Place::default() })
}
