//! Reading a database of the classic project, whatever its column types and character sets are.

use crate::storage::Error;
use crate::storage::sql::executor::{Connection, Result, Row};

/// The tables' rows as they are.
#[derive(Debug, Default)]
pub struct Classic {
    pub users: Vec<User>,
    pub friends: Vec<(i64, i64)>,
    pub groups: Vec<Group>,
    pub members: Vec<Member>,
    /// In the order in which they were said, as far as the table keeps it.
    pub offline: Vec<Offline>,
}

#[derive(Clone, Debug)]
pub struct User {
    pub id: i64,
    pub name: String,
    /// In plain text.
    pub password: String,
}

#[derive(Clone, Debug)]
pub struct Group {
    pub id: i64,
    pub name: String,
    pub description: String,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub group: i64,
    pub user: i64,
    pub role: String,
}

#[derive(Clone, Debug)]
pub struct Offline {
    pub user: i64,
    pub message: String,
}

/// Reads everything. Only the table `user` must be there; other missing tables count as empty.
pub async fn read(conn: &mut dyn Connection) -> Result<Classic> {
    let tables = conn.rows(conn.dialect().list_tables, &[]).await?;
    let tables = tables.iter().map(|row| Ok(row.text(0)?.to_lowercase())).collect::<Result<Vec<_>>>()?;
    let has = |table: &str| tables.iter().any(|name| name == table);
    if !has("user") {
        return Err(
            Error::Unusable("--from names a database without a table \"user\": not a classic one".into()).into()
        );
    }
    if has("conversation") {
        return Err(Error::Unusable(
            "--from names a database of this server, not a classic one: give its URL as database.url".into(),
        )
        .into());
    }
    let mut classic = Classic::default();
    const USERS: &str = "SELECT CAST(id AS SIGNED), CAST(COALESCE(name, '') AS CHAR), \
                         CAST(COALESCE(password, '') AS CHAR) FROM user ORDER BY id";
    for row in conn.rows(USERS, &[]).await? {
        classic.users.push(User { id: row.int(0)?, name: text(&row, 1)?, password: text(&row, 2)? });
    }
    if has("friend") {
        for row in conn.rows("SELECT CAST(userid AS SIGNED), CAST(friendid AS SIGNED) FROM friend", &[]).await? {
            classic.friends.push((row.int(0)?, row.int(1)?));
        }
    }
    if has("allgroup") {
        const GROUPS: &str = "SELECT CAST(id AS SIGNED), CAST(COALESCE(groupname, '') AS CHAR), \
                              CAST(COALESCE(groupdesc, '') AS CHAR) FROM allgroup ORDER BY id";
        for row in conn.rows(GROUPS, &[]).await? {
            classic.groups.push(Group { id: row.int(0)?, name: text(&row, 1)?, description: text(&row, 2)? });
        }
    }
    if has("groupuser") {
        const MEMBERS: &str = "SELECT CAST(groupid AS SIGNED), CAST(userid AS SIGNED), \
                               CAST(COALESCE(grouprole, '') AS CHAR) FROM groupuser ORDER BY groupid, userid";
        for row in conn.rows(MEMBERS, &[]).await? {
            classic.members.push(Member { group: row.int(0)?, user: row.int(1)?, role: text(&row, 2)? });
        }
    }
    if has("offlinemessage") {
        // Unordered: the table has no key, and InnoDB returns its rows as they were inserted.
        const OFFLINE: &str = "SELECT CAST(userid AS SIGNED), CAST(COALESCE(message, '') AS CHAR) FROM offlinemessage";
        for row in conn.rows(OFFLINE, &[]).await? {
            classic.offline.push(Offline { user: row.int(0)?, message: text(&row, 1)? });
        }
    }
    Ok(classic)
}

fn text(row: &Row, at: usize) -> Result<String> {
    Ok(row.text(at)?.to_string())
}
