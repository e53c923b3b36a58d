//! Whether a database is ours, and making an empty one so.
//!
//! The tables are those of `chat.sql`, applied as they stand there: first `meta` with a mark that the rest follows,
//! last the version. A database of an earlier version of ours is brought up to this one; one that holds any of our
//! tables but neither mark nor a version that we know is left alone, whatever it is.

use super::storage::wait_before_next;
use super::upgrade;
use crate::storage::Error;
use crate::storage::engine::{Connection, Dialect, Fault, Result};
use chat_environment::Environment;
use std::sync::Arc;

/// Bumped when the schema changes in a way that an older node cannot live with.
pub const VERSION: &str = "5";

/// The rows of `meta` that the schema's first and last INSERT make.
const BEGUN_MARK: &str = "schema_begun";
const VERSION_MARK: &str = "schema_version";
/// How often the tables are tried to be made where others are in the way.
const MAKING_ATTEMPTS: u32 = 20;

/// Every table of ours, and the one that tells the classic layout.
const TABLES: [&str; 10] =
    ["user", "friend", "allgroup", "groupuser", "conversation", "member", "message", "node", "session", "meta"];
const CLASSIC_TABLE: &str = "offlinemessage";

/// Applies the schema to a database without our tables; errors: [`Error::Unusable`] if the tables are of another kind.
///
/// Several nodes may do so at once, at several servers of a group: each statement does nothing where it is done
/// already, whether that is to be seen yet or not.
pub async fn ensure(conn: &mut dyn Connection, environment: &Environment) -> Result<()> {
    let mut attempt = 1;
    loop {
        match check_or_apply(conn).await {
            Err(Fault::Deadlock | Fault::LockTimeout)
                if wait_before_next(environment, &mut attempt, MAKING_ATTEMPTS).await => {}
            outcome => return outcome,
        }
    }
}

async fn check_or_apply(conn: &mut dyn Connection) -> Result<()> {
    let found = our_tables(conn).await?;
    match mark(conn, &found, VERSION_MARK).await?.as_deref() {
        Some(earlier) if upgrade::can_upgrade(earlier) => upgrade::upgrade(conn, earlier).await,
        None if is_ours_to_make(conn, &found).await? => apply(conn).await,
        _ => check(conn).await,
    }
}

/// Whether the tables are all there, and of this version.
pub async fn check(conn: &mut dyn Connection) -> Result<()> {
    let found = our_tables(conn).await?;
    match mark(conn, &found, VERSION_MARK).await?.as_deref() {
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

/// Whether there is nothing, or what somebody has begun to make. The table of marks is made first.
async fn is_ours_to_make(conn: &mut dyn Connection, found: &[String]) -> Result<bool> {
    match found {
        [] => Ok(true),
        [only] if only == "meta" && conn.first("SELECT 1 FROM meta LIMIT 1", &[]).await?.is_none() => Ok(true),
        _ => Ok(mark(conn, found, BEGUN_MARK).await?.as_deref() == Some(VERSION)),
    }
}

async fn mark(conn: &mut dyn Connection, found: &[String], name: &str) -> Result<Option<Arc<str>>> {
    if !found.iter().any(|table| table == "meta") {
        return Ok(None);
    }
    let row = conn.first("SELECT value FROM meta WHERE name = ?", &[name.into()]).await?;
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
    tracing::info!("making the tables of an empty database");
    // Where DDL is transactional, all or nothing; elsewhere BEGIN and COMMIT do no harm.
    conn.begin().await?;
    let dialect = conn.dialect();
    for statement in statements(dialect.schema) {
        conn.run(&repeatable(&statement, dialect), &[]).await?;
    }
    conn.commit().await
}

/// A statement of the schema that does nothing where it is done already.
fn repeatable(statement: &str, dialect: &Dialect) -> String {
    if let Some(rest) = statement.strip_prefix("INSERT ") {
        return dialect.insert_ignore(rest);
    }
    for begin in ["CREATE TABLE ", "CREATE INDEX "] {
        if let Some(rest) = statement.strip_prefix(begin) {
            return format!("{begin}IF NOT EXISTS {rest}");
        }
    }
    statement.to_owned()
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
            let begun = format!("INSERT INTO meta (name, value) VALUES ('{BEGUN_MARK}', '{VERSION}')");
            assert_eq!(statements.get(1), Some(&begun));
            let repeatable: Vec<String> = statements.iter().map(|sql| repeatable(sql, dialect)).collect();
            assert!(repeatable.iter().all(|sql| sql.contains("IF NOT EXISTS") || sql.contains("IGNORE")));
            assert!(statements.iter().all(|sql| !sql.contains("--")));
        }
    }
}
