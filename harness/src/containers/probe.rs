//! Ready means that the right protocol answers, never that a port is open: ports open early, and others may hold them.

use super::machine::Machine;
use anyhow::{Context, Result, bail, ensure};
use chat::client::{Options, RawConnection};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, Row};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

const INTERVAL: Duration = Duration::from_millis(20);
/// One try: longer than a busy machine takes, short beside the budget.
const ONE_TRY: Duration = Duration::from_secs(2);
/// Between two looks whether the container still runs: the engine is not to be kept busy by them.
const CHECK_EVERY: Duration = Duration::from_millis(500);

/// How a machine shows that it does its work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {
    /// The database answers a query.
    Sql(IpAddr),
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
    async fn attempt(self) -> Result<()> {
        match self {
            Probe::Sql(address) => sql(address).await,
            Probe::Redis(address) => redis(address).await,
            Probe::Chat(address) => chat(address).await,
            Probe::Health(address) => health(address).await,
            Probe::Open(address) => Ok(TcpStream::connect(address).await.map(drop)?),
        }
    }
}

/// Tries `probe` until it succeeds.
///
/// # Errors
/// At once if the container ends; after `budget` with what the last try said.
pub(crate) async fn ready(machine: &Machine, budget: Duration, probe: Probe) -> Result<()> {
    let deadline = Instant::now() + budget;
    let mut check_at = Instant::now() + CHECK_EVERY;
    loop {
        let said = match timeout(ONE_TRY, probe.attempt()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no answer".into(),
        };
        if Instant::now() >= check_at {
            machine.check_running().await?;
            check_at = Instant::now() + CHECK_EVERY;
        }
        if Instant::now() >= deadline {
            machine.check_running().await?;
            bail!("{} is not ready within {budget:?}: {said}", machine.name);
        }
        sleep(INTERVAL).await;
    }
}

pub(crate) fn database(address: IpAddr) -> MySqlConnectOptions {
    MySqlConnectOptions::new().host(&address.to_string()).username("chat").password("chat").database("chat")
}

async fn sql(address: IpAddr) -> Result<()> {
    let mut connection = database(address).disable_statement_logging().connect().await?;
    connection.execute("SELECT 1").await?;
    connection.close().await?;
    Ok(())
}

/// The rows of a query, each field as text; NULL is empty. For statements without parameters.
pub(crate) async fn query(address: IpAddr, statement: &str) -> Result<Vec<Vec<String>>> {
    let mut connection = database(address).disable_statement_logging().connect().await?;
    let rows = connection.fetch_all(sqlx::AssertSqlSafe(statement.to_owned())).await.context("the query failed")?;
    connection.close().await?;
    let text = |row: &sqlx::mysql::MySqlRow, place: usize| {
        let bytes: Option<&[u8]> = row.try_get_unchecked(place)?;
        Ok(String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned())
    };
    rows.iter().map(|row| (0..row.len()).map(|place| text(row, place)).collect()).collect()
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
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    ensure!(reply.starts_with("HTTP/1.1 200"), "it says {}", reply.lines().next().unwrap_or_default());
    Ok(())
}
