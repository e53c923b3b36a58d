//! Groups, their users and their creators.
//!
//! `groupuser` is what people see; `member` in the group's conversation is what delivery goes by. Both change together,
//! under the lock of the conversation.

use super::changes::ChangeId;
use super::columns::state;
use super::locks::{bump_version, lock};
use super::nodes::JOIN_LIVE_NODE;
use super::pages::first_of_each;
use super::session_rows::confirm;
use super::storage::{SqlStorage, change, read};
use crate::storage::engine::{Connection, Fault, Result, Row};
use crate::storage::{self, Actor, Groups, Joined, Left, NamedGroup};
use async_trait::async_trait;
use chat_protocol::conversation::{Conversation, GroupId, UserId};
use chat_protocol::message::{Group, GroupPage, GroupUser, Role};

#[async_trait]
impl Groups for SqlStorage {
    async fn create_group(&self, by: &Actor, name: &str, description: &str) -> storage::Result<Option<GroupId>> {
        // Nobody can be behind in a conversation that is not there yet.
        change!(self, by, &[], conn, change => create(conn, by, name, description, change))
    }

    async fn join_group(&self, by: &Actor, group: GroupId, max_members: u32) -> storage::Result<Joined> {
        let in_doubt = |joined: &Joined| !matches!(joined, Joined::Done { .. });
        let convs = [Conversation::Group(group)];
        change!(self, by, &convs, conn, change => join(conn, by, group, max_members, change), in doubt in_doubt)
    }

    async fn leave_group(&self, by: &Actor, group: GroupId) -> storage::Result<Left> {
        let in_doubt = |left: &Left| !matches!(left, Left::Done { .. });
        let convs = [Conversation::Group(group)];
        change!(self, by, &convs, conn, change => leave(conn, by, group, change), in doubt in_doubt)
    }

    async fn groups(&self, users: &[UserId], limit: u32) -> storage::Result<Vec<Vec<NamedGroup>>> {
        read!(self, conn => of_users(conn, users, limit))
    }

    async fn group_users(&self, groups: &[GroupId], limit: u32) -> storage::Result<Vec<Vec<GroupUser>>> {
        read!(self, conn => first_users(conn, groups, limit))
    }

    async fn group_page(&self, user: UserId, page: GroupPage) -> storage::Result<Option<Group>> {
        read!(self, conn => page_of(conn, user, page), in doubt Option::is_none)
    }
}

async fn create(
    conn: &mut dyn Connection,
    by: &Actor,
    name: &str,
    description: &str,
    change: ChangeId,
) -> Result<Option<GroupId>> {
    const ADD_GROUP: &str = "INSERT INTO allgroup (groupname, groupdesc) VALUES (?, ?)";
    let group = match conn.run(ADD_GROUP, &[name.into(), description.into()]).await {
        Ok(done) => done.last_id.unsigned_abs(),
        Err(Fault::Duplicate) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let conv = Conversation::Group(group);
    const ADD_CONVERSATION: &str = "INSERT INTO conversation (id, changed_by, change_number) VALUES (?, ?, ?)";
    conn.run(ADD_CONVERSATION, &[conv.into(), change.run.into(), change.number.into()]).await?;
    add_member(conn, by.user, group, "creator", 0, 1).await?;
    confirm(conn, by).await?;
    Ok(Some(group))
}

async fn join(
    conn: &mut dyn Connection,
    by: &Actor,
    group: GroupId,
    max_members: u32,
    change: ChangeId,
) -> Result<Joined> {
    let user = by.user;
    let conv = Conversation::Group(group);
    let Some(locked) = lock(conn, conv).await? else { return Ok(Joined::NoSuchGroup) };
    confirm(conn, by).await?;
    const NAMES: &str = "SELECT groupname, groupdesc FROM allgroup WHERE id = ?";
    let Some(names) = conn.first(NAMES, &[group.into()]).await? else { return Ok(Joined::NoSuchGroup) };
    if role(conn, user, group).await?.is_some() {
        return Ok(Joined::Already);
    }
    const COUNT: &str = "SELECT COUNT(*) FROM groupuser WHERE groupid = ?";
    let count = conn.first(COUNT, &[group.into()]).await?.map(|row| row.number(0)).transpose()?.unwrap_or(0);
    if count >= u64::from(max_members) {
        return Ok(Joined::Full);
    }
    let role = if count == 0 { "creator" } else { "normal" };
    add_member(conn, user, group, role, locked.last_seq, locked.version + 1).await?;
    bump_version(conn, conv, change).await?;
    let (name, description) = (names.text(0)?.to_string(), names.text(1)?.to_string());
    Ok(Joined::Done { name, description, end: locked.end(), version: locked.version + 1 })
}

async fn leave(conn: &mut dyn Connection, by: &Actor, group: GroupId, change: ChangeId) -> Result<Left> {
    let user = by.user;
    let conv = Conversation::Group(group);
    let Some(locked) = lock(conn, conv).await? else { return Ok(Left::NoSuchGroup) };
    confirm(conn, by).await?;
    let Some(role) = role(conn, user, group).await? else { return Ok(Left::NotMember) };
    conn.run("DELETE FROM member WHERE conv = ? AND userid = ?", &[conv.into(), user.into()]).await?;
    conn.run("DELETE FROM groupuser WHERE groupid = ? AND userid = ?", &[group.into(), user.into()]).await?;
    if role == Role::Creator {
        hand_over(conn, group).await?;
    }
    bump_version(conn, conv, change).await?;
    Ok(Left::Done { version: locked.version + 1 })
}

async fn of_users(conn: &mut dyn Connection, users: &[UserId], limit: u32) -> Result<Vec<Vec<NamedGroup>>> {
    const FIRST: &str = "SELECT gu.userid, g.id, g.groupname, g.groupdesc \
                         FROM groupuser gu JOIN allgroup g ON g.id = gu.groupid \
                         WHERE gu.userid = ? ORDER BY gu.groupid LIMIT ?";
    let whole = |pages: &str| format!("SELECT userid, id, groupname, groupdesc FROM {pages} AS pages");
    let read = |row: &Row| {
        let (id, groupname, groupdesc) = (row.number(1)?, row.text(2)?.to_string(), row.text(3)?.to_string());
        Ok((row.number(0)?, id, NamedGroup { id, groupname, groupdesc }))
    };
    first_of_each(conn, users, limit, FIRST, whole, read).await
}

async fn first_users(conn: &mut dyn Connection, groups: &[GroupId], limit: u32) -> Result<Vec<Vec<GroupUser>>> {
    const FIRST: &str = "SELECT gu.groupid, u.id, u.name, gu.grouprole \
                         FROM groupuser gu JOIN user u ON u.id = gu.userid \
                         WHERE gu.groupid = ? ORDER BY gu.userid LIMIT ?";
    let whole = |pages: &str| with_presence(&format!("{pages} AS gu"), "");
    let read = |row: &Row| Ok((row.number(4)?, row.number(0)?, read_user(row)?));
    first_of_each(conn, groups, limit, FIRST, whole, read).await
}

async fn page_of(conn: &mut dyn Connection, user: UserId, page: GroupPage) -> Result<Option<Group>> {
    if role(conn, user, page.group).await?.is_none() {
        return Ok(None);
    }
    const NAMED: &str = "SELECT groupname, groupdesc FROM allgroup WHERE id = ?";
    let Some(named) = conn.first(NAMED, &[page.group.into()]).await? else { return Ok(None) };
    let (groupname, groupdesc) = (named.text(0)?.to_string(), named.text(1)?.to_string());
    const USERS: &str = "(SELECT gu.groupid, u.id, u.name, gu.grouprole \
                         FROM groupuser gu JOIN user u ON u.id = gu.userid \
                         WHERE gu.groupid = ? AND gu.userid > ? ORDER BY gu.userid LIMIT ?) AS gu";
    let sql = with_presence(USERS, " ORDER BY gu.id");
    let values = [page.group.into(), page.after.into(), page.limit.saturating_add(1).into()];
    let rows = conn.rows(&sql, &values).await?;
    let mut users = rows.iter().map(read_user).collect::<Result<Vec<_>>>()?;
    let more = users.len() > page.limit as usize;
    users.truncate(page.limit as usize);
    Ok(Some(Group { id: page.group, groupname, groupdesc, users, more }))
}

async fn add_member(
    conn: &mut dyn Connection,
    user: UserId,
    group: GroupId,
    role: &str,
    received_seq: u64,
    joined: u64,
) -> Result<()> {
    const ADD_MEMBER: &str = "INSERT INTO member (conv, userid, received_seq, joined) VALUES (?, ?, ?, ?)";
    let member = [Conversation::Group(group).into(), user.into(), received_seq.into(), joined.into()];
    conn.run(ADD_MEMBER, &member).await?;
    const ADD_USER: &str = "INSERT INTO groupuser (groupid, userid, grouprole) VALUES (?, ?, ?)";
    conn.run(ADD_USER, &[group.into(), user.into(), role.into()]).await?;
    Ok(())
}

async fn role(conn: &mut dyn Connection, user: UserId, group: GroupId) -> Result<Option<Role>> {
    const READ: &str = "SELECT grouprole FROM groupuser WHERE groupid = ? AND userid = ?";
    let row = conn.first(READ, &[group.into(), user.into()]).await?;
    row.map(|row| read_role(&row, 0)).transpose()
}

/// Makes the longest-standing member the creator; an empty group waits for its next member.
async fn hand_over(conn: &mut dyn Connection, group: GroupId) -> Result<()> {
    const HEIR: &str = "SELECT userid FROM member WHERE conv = ? ORDER BY joined, userid LIMIT 1";
    let Some(heir) = conn.first(HEIR, &[Conversation::Group(group).into()]).await? else { return Ok(()) };
    const CROWN: &str = "UPDATE groupuser SET grouprole = 'creator' WHERE groupid = ? AND userid = ?";
    conn.run(CROWN, &[group.into(), heir.number(0)?.into()]).await?;
    Ok(())
}

/// What [`read_user`] reads of users `gu` of groups, and of which.
fn with_presence(users: &str, order: &str) -> String {
    format!(
        "SELECT gu.id, gu.name, n.id IS NOT NULL, gu.grouprole, gu.groupid \
         FROM {users} LEFT JOIN session s ON s.userid = gu.id {JOIN_LIVE_NODE}{order}"
    )
}

fn read_user(row: &Row) -> Result<GroupUser> {
    let name = row.text(1)?.to_string();
    Ok(GroupUser { id: row.number(0)?, name, state: state(row, 2)?, role: read_role(row, 3)? })
}

fn read_role(row: &Row, at: usize) -> Result<Role> {
    Ok(if &*row.text(at)? == "creator" { Role::Creator } else { Role::Normal })
}
