//! What is done to a database server with statements, by whoever may do everything there.

use super::{Cluster, PREFERRED};
use anyhow::{Context, Result};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::time::Duration;
use tokio::time::timeout;

/// A server that is stopped takes connections, and answers nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

pub(crate) async fn connect(url: &str) -> Result<MySqlConnection> {
    let options = url.parse::<MySqlConnectOptions>()?;
    // Settings of the session would be refused by a member that has lost the others.
    let options = options.pipes_as_concat(false).no_engine_substitution(false).timezone(None).set_names(false);
    Ok(timeout(ANSWER_WITHIN, options.disable_statement_logging().connect()).await.context("no connection")??)
}

/// Runs one statement over a connection of its own.
pub(crate) async fn execute(url: &str, statement: &str) -> Result<()> {
    let mut connection = connect(url).await?;
    let done = timeout(ANSWER_WITHIN, connection.execute(AssertSqlSafe(statement.to_owned()))).await;
    done.with_context(|| format!("no answer to {statement}"))??;
    Ok(connection.close().await?)
}

/// Whether the preferred member takes no writes from users; connections stay open.
pub(crate) async fn set_read_only(cluster: &dyn Cluster, is_read_only: bool) -> Result<()> {
    let statement = format!("SET GLOBAL read_only = {}", u8::from(is_read_only));
    execute(&cluster.administration(PREFERRED)?, &statement).await
}
