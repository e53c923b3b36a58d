//! One `chat-server` process: its configuration, its log, its life.

use crate::cluster::{Probe, until};
use crate::program::{Program, built};
use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use services::ports::{free_port, on_free_port};
use services::process::Process;
use std::fs;
use std::future::ready;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a node may take until it answers: it may have to wait for an earlier run's lease (8 s).
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a node may take to end after SIGTERM: its drain, then the bus and the lease.
const END_WITHIN: Duration = Duration::from_secs(30);
const END_INTERVAL: Duration = Duration::from_millis(20);

/// A node, running or not.
pub(super) struct Node {
    id: String,
    program: PathBuf,
    directory: PathBuf,
    settings: Vec<(String, String)>,
    /// Only the admin port answers everybody.
    is_guarded: bool,
    client_port: u16,
    admin_port: u16,
    process: Mutex<Option<Process>>,
}

impl Node {
    /// Starts a node named `id` on free ports, with these settings, and waits until it answers. Its configuration
    /// and log are `id.toml` and `id.log` in `directory`.
    pub async fn start(
        id: String,
        settings: Vec<(String, String)>,
        is_guarded: bool,
        directory: &Path,
    ) -> Result<Node> {
        let program = built(Program::Server)?;
        let start = async |client_port| {
            let node = Node {
                id: id.clone(),
                program: program.clone(),
                directory: directory.to_owned(),
                settings: settings.clone(),
                is_guarded,
                client_port,
                admin_port: free_port()?,
                process: Mutex::default(),
            };
            node.spawn()?;
            node.ready().await?;
            Ok(node)
        };
        on_free_port(start).await
    }

    /// As in the configuration, and in LOGIN_ACK.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its clients connect, past nginx.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.client_port).into()
    }

    pub fn admin_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.admin_port).into()
    }

    /// Starts the process without waiting until it answers.
    pub fn spawn(&self) -> Result<()> {
        let config = self.directory.join(format!("{}.toml", self.id));
        let own = [
            ("node.id", self.id.clone()),
            ("listen.host", Ipv4Addr::LOCALHOST.to_string()),
            ("listen.port", self.client_port.to_string()),
            ("admin.address", self.admin_address().to_string()),
        ];
        let own = own.map(|(key, value)| (key.to_owned(), value));
        let lines = own.iter().chain(&self.settings).map(|(key, value)| format!("{key} = {}\n", toml(value)));
        fs::write(&config, lines.collect::<String>())?;
        let mut server = Command::new(&self.program);
        server.arg("--config").arg(&config);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CHAT_")) {
            server.env_remove(name);
        }
        let log = self.directory.join(format!("{}.log", self.id));
        *self.process.lock() = Some(Process::start(server, "nothing: it is built here", log, libc::SIGKILL)?);
        Ok(())
    }

    /// Waits until it answers.
    pub async fn ready(&self) -> Result<()> {
        let check = || ready(self.with_process(|process| process.check_running()));
        let probe = match self.is_guarded {
            true => Probe::Health(self.admin_address()),
            false => Probe::Chat(self.address()),
        };
        let answered = until(READY_WITHIN, probe, check).await;
        answered.with_context(|| self.id.clone())
    }

    /// `kill -9`.
    pub fn end(&self) -> Result<()> {
        self.process.lock().take().map_or(Ok(()), |mut process| process.kill())
    }

    pub fn signal(&self, signal: i32) -> Result<()> {
        self.with_process(|process| process.signal(signal))
    }

    /// SIGTERM; returns how the process has ended: its exit code, or 128 and the signal, as shells have it.
    pub async fn terminate(&self) -> Result<i64> {
        self.signal(libc::SIGTERM)?;
        let deadline = Instant::now() + END_WITHIN;
        let status = loop {
            if let Some(status) = self.with_process(Process::exit_status)? {
                break status;
            }
            ensure!(Instant::now() < deadline, "{} has not ended within {END_WITHIN:?}", self.id);
            sleep(END_INTERVAL).await;
        };
        *self.process.lock() = None;
        Ok(status.code().map_or_else(|| 128 + i64::from(status.signal().unwrap_or_default()), i64::from))
    }

    fn with_process<T>(&self, act: impl FnOnce(&mut Process) -> Result<T>) -> Result<T> {
        act(self.process.lock().as_mut().with_context(|| format!("{} is down", self.id))?)
    }
}

/// A setting's value as TOML has it: text in quotes, unless they are there.
fn toml(value: &str) -> String {
    let is_bare = value.parse::<f64>().is_ok() || matches!(value, "true" | "false") || value.starts_with(['"', '[']);
    if is_bare { value.to_owned() } else { format!("{value:?}") }
}
