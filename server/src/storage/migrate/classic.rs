//! Reading a database of the classic project, whatever its column types and character sets are.

use crate::storage::Error;
use crate::storage::engine::{Connection, Result, Row};

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
    let tables = Tables::of(conn).await?;
    if tables.get("user")?.is_none() {
        return Err(
            Error::Unusable("--from names a database without a table \"user\": not a classic one".into()).into()
        );
    }
    if tables.get("conversation")?.is_some() {
        return Err(Error::Unusable(
            "--from names a database of this server, not a classic one: give its URL as database.url".into(),
        )
        .into());
    }
    let mut classic = Classic::default();
    const USERS: &str = "CAST(id AS SIGNED), CAST(COALESCE(name, '') AS CHAR), CAST(COALESCE(password, '') AS CHAR)";
    for row in tables.rows(conn, USERS, "user", "ORDER BY id").await? {
        classic.users.push(User { id: row.int(0)?, name: text(&row, 1)?, password: text(&row, 2)? });
    }
    const FRIENDS: &str = "CAST(userid AS SIGNED), CAST(friendid AS SIGNED)";
    for row in tables.rows(conn, FRIENDS, "friend", "").await? {
        classic.friends.push((row.int(0)?, row.int(1)?));
    }
    const GROUPS: &str =
        "CAST(id AS SIGNED), CAST(COALESCE(groupname, '') AS CHAR), CAST(COALESCE(groupdesc, '') AS CHAR)";
    for row in tables.rows(conn, GROUPS, "allgroup", "ORDER BY id").await? {
        classic.groups.push(Group { id: row.int(0)?, name: text(&row, 1)?, description: text(&row, 2)? });
    }
    const MEMBERS: &str = "CAST(groupid AS SIGNED), CAST(userid AS SIGNED), CAST(COALESCE(grouprole, '') AS CHAR)";
    for row in tables.rows(conn, MEMBERS, "groupuser", "ORDER BY groupid, userid").await? {
        classic.members.push(Member { group: row.int(0)?, user: row.int(1)?, role: text(&row, 2)? });
    }
    // Unordered: the table has no key, and InnoDB returns its rows as they were inserted.
    const OFFLINE: &str = "CAST(userid AS SIGNED), CAST(COALESCE(message, '') AS CHAR)";
    for row in tables.rows(conn, OFFLINE, "offlinemessage", "").await? {
        classic.offline.push(Offline { user: row.int(0)?, message: text(&row, 1)? });
    }
    Ok(classic)
}

/// The names of the tables as they are: on Linux `AllGroup` and `allgroup` are two, and both occur in the family.
struct Tables(Vec<String>);

impl Tables {
    async fn of(conn: &mut dyn Connection) -> Result<Self> {
        let rows = conn.rows(conn.dialect().list_tables, &[]).await?;
        Ok(Tables(rows.iter().map(|row| text(row, 0)).collect::<Result<Vec<_>>>()?))
    }

    /// The table of this name in any case. Of two, neither may be left out without a word.
    fn get(&self, wanted: &str) -> Result<Option<&str>> {
        let mut found = self.0.iter().filter(|name| name.eq_ignore_ascii_case(wanted));
        match (found.next(), found.next()) {
            (Some(one), Some(other)) => Err(Error::Unusable(format!(
                "--from names a database with both a table {one:?} and a table {other:?}: drop or rename one of them"
            ))
            .into()),
            (one, _) => Ok(one.map(String::as_str)),
        }
    }

    /// All rows of the table; none if it is not there.
    async fn rows(&self, conn: &mut dyn Connection, columns: &str, wanted: &str, order: &str) -> Result<Vec<Row>> {
        match self.get(wanted)? {
            // It is one of our few names, in whatever case.
            Some(table) => conn.rows(&format!("SELECT {columns} FROM `{table}` {order}"), &[]).await,
            None => Ok(Vec::new()),
        }
    }
}

fn text(row: &Row, at: usize) -> Result<String> {
    Ok(row.text(at)?.to_string())
}
