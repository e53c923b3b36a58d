//! Whether a database is ours, and making an empty one so.
//!
//! The tables are those of `chat.sql`, applied as they stand there; the version in `meta` is its last statement. A
//! database of an earlier version of ours is brought up to this one; one that holds any of our tables but no version
//! that we know is left alone, whatever it is.

use super::upgrade;
use crate::storage::Error;
use crate::storage::engine::{Connection, Result};
use std::sync::Arc;

/// Bumped when the schema changes in a way that an older node cannot live with.
pub const VERSION: &str = "3";

/// Every table of ours, and the one that tells the classic layout.
const TABLES: [&str; 10] =
    ["user", "friend", "allgroup", "groupuser", "conversation", "member", "message", "node", "session", "meta"];
const CLASSIC_TABLE: &str = "offlinemessage";

/// Applies the schema to a database without our tables; errors: [`Error::Unusable`] if the tables are of another kind.
pub async fn ensure(conn: &mut dyn Connection) -> Result<()> {
    // Where there is nothing to make, nobody waits for one who is paused while it holds the lock.
    let found = our_tables(conn).await?;
    if version(conn, &found).await?.as_deref() == Some(VERSION) {
        return Ok(());
    }
    let dialect = conn.dialect();
    // Of several nodes that start at once, one applies the schema while the others wait.
    if let Some(sql) = dialect.lock_schema {
        let row = conn.first(sql, &[]).await?;
        if row.as_ref().map(|row| row.flag(0)).transpose()? != Some(true) {
            return Err(Error::Unavailable("another node is busy making the tables".into()).into());
        }
    }
    let outcome = check_or_apply(conn).await;
    if let Some(sql) = dialect.unlock_schema {
        conn.rows(sql, &[]).await?;
    }
    outcome
}

async fn check_or_apply(conn: &mut dyn Connection) -> Result<()> {
    let found = our_tables(conn).await?;
    if found.is_empty() {
        return apply(conn).await;
    }
    match version(conn, &found).await?.as_deref() {
        Some(earlier) if upgrade::can_upgrade(earlier) => upgrade::upgrade(conn, earlier).await,
        _ => check(conn).await,
    }
}

/// Whether the tables are all there, and of this version.
pub async fn check(conn: &mut dyn Connection) -> Result<()> {
    let found = our_tables(conn).await?;
    match version(conn, &found).await?.as_deref() {
        Some(VERSION) => Ok(()),
        Some(other) => Err(Error::Unusable(format!(
            "the database has schema version {other}, and this server needs {VERSION}: use the server's release that \
             belongs to it, or another database"
        ))
        .into()),
        None if found.is_empty() => Err(Error::Unusable("the database has none of our tables".into()).into()),
        None => Err(Error::Unusable(explain(&found)).into()),
    }
}

async fn version(conn: &mut dyn Connection, found: &[String]) -> Result<Option<Arc<str>>> {
    if !found.iter().any(|table| table == "meta") {
        return Ok(None);
    }
    let row = conn.first("SELECT value FROM meta WHERE name = 'schema_version'", &[]).await?;
    Ok(row.map(|row| row.text(0)).transpose()?)
}

fn explain(found: &[String]) -> String {
    let tables = found.join(", ");
    let is_classic = found.iter().any(|table| table == CLASSIC_TABLE)
        || (found.iter().any(|table| table == "user") && !found.iter().any(|table| table == "conversation"));
    if is_classic {
        format!(
            "the database holds tables of the classic layout ({tables}): give database.url another, empty database and \
             take the data over with `chat-server migrate --from URL`, with the URL of this one"
        )
    } else {
        format!(
            "the database holds some of our tables ({tables}) but no schema version, so they may not be complete: use \
             an empty database, or drop these tables if they hold nothing"
        )
    }
}

async fn our_tables(conn: &mut dyn Connection) -> Result<Vec<String>> {
    let rows = conn.rows(conn.dialect().list_tables, &[]).await?;
    let mut tables = Vec::new();
    for row in rows {
        let table = row.text(0)?.to_lowercase();
        if TABLES.contains(&table.as_str()) || table == CLASSIC_TABLE {
            tables.push(table);
        }
    }
    tables.sort();
    Ok(tables)
}

async fn apply(conn: &mut dyn Connection) -> Result<()> {
    tracing::info!("the database is empty: making the tables");
    // Where DDL is transactional, all or nothing; elsewhere BEGIN and COMMIT do no harm.
    conn.begin().await?;
    for statement in statements(conn.dialect().schema) {
        conn.run(&statement, &[]).await?;
    }
    conn.commit().await
}

/// The statements of an SQL file of ours: comments are lines of their own, a statement ends with its line.
fn statements(file: &str) -> Vec<String> {
    let code: Vec<&str> = file.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let code = format!("{}\n", code.join("\n"));
    code.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::engine::{mysql, sqlite};

    #[test]
    fn both_schemas_make_the_same_tables_and_version() {
        for dialect in [&mysql::DIALECT, &sqlite::DIALECT] {
            let statements = statements(dialect.schema);
            for table in TABLES {
                let begin = format!("CREATE TABLE {table} (");
                assert_eq!(statements.iter().filter(|sql| sql.starts_with(&begin)).count(), 1, "{table}");
            }
            let version = format!("INSERT INTO meta (name, value) VALUES ('schema_version', '{VERSION}')");
            assert_eq!(statements.last(), Some(&version));
            assert!(statements.iter().all(|sql| !sql.contains("--")));
        }
    }
}
