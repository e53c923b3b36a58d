//! Ready means that the right protocol answers, never that a port is open: ports open early, and others may hold them.

use super::setup::Replication;
use anyhow::{Context, Result, anyhow, bail, ensure};
use chat_client::{Options, RawConnection};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, Row};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

const INTERVAL: Duration = Duration::from_millis(20);
/// One try: longer than a busy machine takes, short beside the budget.
const ONE_TRY: Duration = Duration::from_secs(2);
/// Between two looks whether the machine still runs: an engine is not to be kept busy by them.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// For a query of a busy database.
const ONE_QUERY: Duration = Duration::from_secs(30);
/// For a page of a busy node.
const PAGE_WITHIN: Duration = Duration::from_secs(30);

/// How a machine shows that it does its work.
#[derive(Clone, Debug)]
pub(crate) enum Probe {
    /// The database at this URL answers a query.
    Sql(String),
    /// The member of a Galera cluster at this URL takes statements.
    Member(String),
    /// Redis answers PING.
    Redis(SocketAddr),
    /// A node, or one through nginx, answers a framed PING.
    Chat(SocketAddr),
    /// A node's admin port says that it is up.
    Health(SocketAddr),
    /// Something accepts connections: for where nothing more can be asked.
    Open(SocketAddr),
}

impl Probe {
    async fn attempt(&self) -> Result<()> {
        match self {
            Probe::Sql(url) => ask(url, ONE_QUERY, "SELECT 1").await.map(|_| ()),
            Probe::Member(url) => member(url).await,
            Probe::Redis(address) => redis(*address).await,
            Probe::Chat(address) => chat(*address).await,
            Probe::Health(address) => health(*address).await,
            Probe::Open(address) => Ok(TcpStream::connect(address).await.map(drop)?),
        }
    }
}

/// Tries `probe` until it succeeds. `still_runs` is asked now and then.
///
/// # Errors
/// At once if the machine has ended; after `budget` with what the last try said.
pub(crate) async fn until<Check: Future<Output = Result<()>>>(
    budget: Duration,
    probe: Probe,
    still_runs: impl Fn() -> Check,
) -> Result<()> {
    let deadline = Instant::now() + budget;
    let mut check_at = Instant::now() + CHECK_EVERY;
    loop {
        let said = match timeout(ONE_TRY, probe.attempt()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no answer".into(),
        };
        let is_over = Instant::now() >= deadline;
        if is_over || Instant::now() >= check_at {
            still_runs().await?;
            check_at = Instant::now() + CHECK_EVERY;
        }
        if is_over {
            bail!("not ready within {budget:?}: {said}");
        }
        sleep(INTERVAL).await;
    }
}

/// The rows of a query at the first of `urls` that answers; where there are several, it first applies what the others
/// have committed.
pub(crate) async fn query(urls: &[String], replication: Replication, statement: &str) -> Result<Vec<Vec<String>>> {
    let barrier = match replication {
        Replication::None => None,
        Replication::Galera => Some("SET SESSION wsrep_sync_wait = 1"),
        Replication::Group => Some("SET SESSION group_replication_consistency = 'BEFORE'"),
    };
    let mut failed = None;
    for url in urls {
        match timeout(ONE_QUERY, rows(url, barrier, statement)).await {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) => failed = Some(error),
            Err(_) => failed = Some(anyhow!("no answer within {ONE_QUERY:?}")),
        }
    }
    Err(failed.unwrap_or_else(|| anyhow!("there is no database")))
}

/// The rows of a statement at one server, which waits for nothing that others have committed.
pub(crate) async fn ask(url: &str, budget: Duration, statement: &str) -> Result<Vec<Vec<String>>> {
    let asked = timeout(budget, rows(url, None, statement)).await;
    asked.unwrap_or_else(|_| Err(anyhow!("no answer within {budget:?}")))
}

/// Each field as text; NULL is empty. For statements without parameters.
async fn rows(url: &str, barrier: Option<&'static str>, statement: &str) -> Result<Vec<Vec<String>>> {
    let mut connection = url.parse::<MySqlConnectOptions>()?.disable_statement_logging().connect().await?;
    if let Some(barrier) = barrier {
        connection.execute(barrier).await?;
    }
    let rows = connection.fetch_all(sqlx::AssertSqlSafe(statement.to_owned())).await.context("the query failed")?;
    connection.close().await?;
    let text = |row: &sqlx::mysql::MySqlRow, place: usize| {
        let bytes: Option<&[u8]> = row.try_get_unchecked(place)?;
        Ok(String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned())
    };
    rows.iter().map(|row| (0..row.len()).map(|place| text(row, place)).collect()).collect()
}

async fn member(url: &str) -> Result<()> {
    let rows = ask(url, ONE_QUERY, "SHOW GLOBAL STATUS LIKE 'wsrep_ready'").await?;
    ensure!(rows.iter().any(|row| row.last().is_some_and(|value| value == "ON")), "it says {rows:?}");
    Ok(())
}

/// The body of a page of an admin port.
pub(super) async fn page(address: SocketAddr, path: &str) -> Result<String> {
    let response = timeout(PAGE_WITHIN, get(address, path)).await??;
    let (_, body) = response.split_once("\r\n\r\n").context("the admin port speaks no HTTP")?;
    Ok(body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}

async fn redis(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).await?;
    ensure!(&reply == b"+PONG\r\n", "it says {}", String::from_utf8_lossy(&reply));
    Ok(())
}

async fn chat(address: SocketAddr) -> Result<()> {
    let mut options = Options::new([address.to_string()]);
    options.request_timeout = ONE_TRY;
    let mut connection = RawConnection::connect(&options).await?;
    connection.send(&serde_json::json!({"msgid": 19})).await?;
    let reply = connection.next().await?;
    ensure!(reply["msgid"] == 20, "it says {reply}");
    Ok(())
}

async fn health(address: SocketAddr) -> Result<()> {
    let reply = get(address, "/healthz").await?;
    ensure!(reply.starts_with("HTTP/1.1 200"), "it says {}", reply.lines().next().unwrap_or_default());
    Ok(())
}
