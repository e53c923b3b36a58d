//! The database has no connection left, as when some other program leaks them: every free one is taken, and the nodes'
//! own are killed again and again and taken as well. Nodes are told "too many connections".
//!
//! It is done with connections that are held ([`Holder`]).

use super::holder::{Holder, Tell};
use super::{Breakage, Kind, Lasting};
use crate::cluster::Cluster;
use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

pub(super) const KIND: Kind = Kind {
    usage: "exhaust database",
    effect: "every connection of the database is taken, the nodes' own among them",
    needs: None,
    table: &[("exhaust database", 5)],
    chances: |setup| match &setup.databases()[..] {
        [only] => vec![format!("exhaust {only}")],
        _ => Vec::new(),
    },
    read: |_| Ok(Arc::new(Exhaust)),
};

/// "Too many connections".
const FULL: u16 = 1040;
/// For a thousand connections, on a busy machine.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks whether somebody else has got one.
const INTERVAL: Duration = Duration::from_millis(20);
/// Not the table of that name: MySQL cannot show a statement in it that has binary values.
const ALL: &str = "SHOW PROCESSLIST";

struct Exhaust;

#[async_trait]
impl Breakage for Exhaust {
    fn takes(&self) -> &'static [&'static str] {
        &["database"]
    }

    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        let address = cluster.own_database()?;
        let hold = async move |tell| hold(address, tell).await;
        Ok(Some(Holder::start("takes connections", hold).await?))
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        cluster.ready("database").await
    }
}

/// Holds every connection until dropped; tells when it has them all.
async fn hold(address: SocketAddr, tell: Tell) {
    let mut held = Vec::new();
    let all = timeout(TAKEN_WITHIN, take_all(address, &mut held)).await;
    let all = all.unwrap_or_else(|_| Err(anyhow!("not within {TAKEN_WITHIN:?}")));
    let is_done = all.is_ok();
    if tell.send(all).is_err() || !is_done {
        return;
    }
    loop {
        sleep(INTERVAL).await;
        if take_all(address, &mut held).await.is_err() {
            // It was restarted meanwhile: none of them is good any more.
            held.clear();
        }
    }
}

/// Takes what is free and kills the others' connections, until nothing is free and the others have none.
async fn take_all(address: SocketAddr, held: &mut Vec<MySqlConnection>) -> Result<()> {
    loop {
        while let Some(connection) = connect(address, held.is_empty()).await? {
            held.push(connection);
        }
        let first = held.first_mut().context("others hold all connections already")?;
        let others = others(first).await?;
        if others.is_empty() {
            return Ok(());
        }
        for id in others {
            // It may have ended by itself.
            let _ = first.execute(AssertSqlSafe(format!("KILL {id}"))).await;
        }
    }
}

/// The nodes' connections, which name a database; those that are held here do not.
async fn others(connection: &mut MySqlConnection) -> Result<Vec<u64>> {
    let mut others = Vec::new();
    for row in connection.fetch_all(ALL).await? {
        if row.try_get_unchecked::<Option<&str>, _>("db")?.is_some() {
            others.push(row.try_get_unchecked::<u64, _>("Id")?);
        }
    }
    Ok(others)
}

/// One more connection; `None` if none is left.
async fn connect(address: SocketAddr, is_first: bool) -> Result<Option<MySqlConnection>> {
    let options = MySqlConnectOptions::new()
        .host(&address.ip().to_string())
        .port(address.port())
        .username("chat")
        .password("chat");
    // Settings of the session would cost a round trip each.
    let options = options.pipes_as_concat(false).no_engine_substitution(false).timezone(None).set_names(false);
    // TLS costs most of all; without, MySQL takes only a password that it has seen with.
    let options = options.ssl_mode(if is_first { MySqlSslMode::Preferred } else { MySqlSslMode::Disabled });
    match options.disable_statement_logging().connect().await {
        Ok(connection) => Ok(Some(connection)),
        Err(sqlx::Error::Database(error)) if error.downcast_ref::<MySqlDatabaseError>().number() == FULL => Ok(None),
        Err(error) => Err(error).context("cannot take every connection; each needs an open file (ulimit -n)"),
    }
}
