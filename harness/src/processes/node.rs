//! One `chat-server` process: its configuration, its log, its life.

use crate::program::{Program, chat_server};
use anyhow::{Context, Result, ensure};
use chat::client::{Options, RawConnection};
use serde_json::Value;
use services::eventually;
use services::ports::free_port;
use services::process::Process;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long a node may take until it answers: it may have to wait for an earlier run's lease (8 s).
const READY_WITHIN: Duration = Duration::from_secs(30);
const READY_INTERVAL: Duration = Duration::from_millis(20);
/// How long one question to a node that may not be there yet may take.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// How long a node may take to end after SIGTERM: its drain, then the bus and the lease.
const END_WITHIN: Duration = Duration::from_secs(30);
/// Ports tried before giving up, since another process may take one first.
const ATTEMPTS: usize = 5;

/// A node, running or not.
pub struct Node {
    id: String,
    program: PathBuf,
    directory: PathBuf,
    settings: String,
    client_port: u16,
    admin_port: u16,
    process: Option<Process>,
}

impl Node {
    /// Starts a node named `id` on free ports, with these lines of configuration, and waits until it answers a PING.
    /// Its configuration and log are `id.toml` and `id.log` in `directory`.
    pub(super) async fn start(id: String, settings: String, directory: &Path) -> Result<Node> {
        let mut attempt = 1;
        loop {
            let (client_port, admin_port) = (free_port()?, free_port()?);
            let (id, directory, settings) = (id.clone(), directory.to_owned(), settings.clone());
            let program = chat_server(Program::Server)?;
            let mut node = Node { id, program, directory, settings, client_port, admin_port, process: None };
            match node.run().await {
                Ok(()) => return Ok(node),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    /// As in the configuration, and in LOGIN_ACK.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its clients connect, past nginx.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.client_port).into()
    }

    /// Starts the process without waiting until it answers.
    pub(super) fn spawn(&mut self) -> Result<()> {
        let config = self.directory.join(format!("{}.toml", self.id));
        let listen = format!("listen.host = \"127.0.0.1\"\nlisten.port = {}\n", self.client_port);
        let admin = format!("admin.address = \"127.0.0.1:{}\"\n", self.admin_port);
        fs::write(&config, format!("node.id = \"{}\"\n{listen}{admin}{}", self.id, self.settings))?;
        let mut server = Command::new(&self.program);
        server.arg("--config").arg(&config);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CHAT_")) {
            server.env_remove(name);
        }
        let log = self.directory.join(format!("{}.log", self.id));
        self.process = Some(Process::start(server, "nothing: it is built here", log, libc::SIGKILL)?);
        Ok(())
    }

    async fn run(&mut self) -> Result<()> {
        self.spawn()?;
        self.ready().await
    }

    /// Waits until it answers a PING.
    pub(super) async fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            self.running_mut()?.check_running().with_context(|| self.id.clone())?;
            if self.answers().await {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{} does not answer within {READY_WITHIN:?}", self.id);
            sleep(READY_INTERVAL).await;
        }
    }

    /// Whether it answers a PING.
    pub async fn answers(&self) -> bool {
        let mut options = Options::new([self.address().to_string()]);
        (options.connect_timeout, options.request_timeout) = (ANSWER_WITHIN, ANSWER_WITHIN);
        let Ok(mut connection) = RawConnection::connect(&options).await else { return false };
        connection.send_bytes(b"\0\0\0\x0c{\"msgid\":19}").await.is_ok()
            && connection.next().await.is_ok_and(|pong| pong["msgid"] == 20)
    }

    /// The number behind a metric; series of one name are added up.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let text = timeout(READY_WITHIN, self.get("/metrics")).await??;
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name) || series == name).then(|| value.parse::<f64>().ok())?
        });
        Ok(values.sum())
    }

    /// Whether `/readyz` says that something is wrong with this part: `lease`, `bus`, `database` or `draining`.
    pub async fn lacks(&self, part: &str) -> Result<bool> {
        let readiness: Value = serde_json::from_str(&timeout(READY_WITHIN, self.get("/readyz")).await??)?;
        Ok(!readiness.get(part).with_context(|| format!("{readiness} says nothing of {part}"))?.is_null())
    }

    /// The body of a page of the admin port.
    async fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.admin_port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        let (_, body) = response.split_once("\r\n\r\n").context("the admin port speaks no HTTP")?;
        Ok(body.to_owned())
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    pub(super) fn signal(&self, signal: i32) -> Result<()> {
        self.process.as_ref().with_context(|| format!("{} is down", self.id))?.signal(signal)
    }

    /// Waits until the process has ended by itself.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus> {
        let claim = format!("{} has ended", self.id);
        let process = self.running_mut()?;
        let status = eventually(END_WITHIN, &claim, async || process.exit_status().transpose()).await?;
        self.process = None;
        Ok(status)
    }

    fn running_mut(&mut self) -> Result<&mut Process> {
        self.process.as_mut().with_context(|| format!("{} is down", self.id))
    }
}
