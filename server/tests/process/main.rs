//! `chat-server` as whoever runs it sees it: what it does when told to read its settings again, what it tells its
//! supervisor, and what it writes about itself.

mod admin;
mod generated;
mod killed;
mod python;
mod reload;
mod supervised;

use chat_client::tls::Trust;
use chat_client::{Client, Error, Events, Options, Tls};
use services::process::Process;
use services::{eventually, ports};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// How long a process may take over anything on a busy machine.
const BUDGET: Duration = Duration::from_secs(30);
const NAME: &str = "ann";
const PASSWORD: &str = "secret";

/// A node on SQLite, in a directory of its own.
struct Node {
    process: Process,
    port: u16,
    directory: TempDir,
}

impl Node {
    /// Starts one whose settings are these lines beside those that every test needs, and waits until it serves.
    async fn start(directory: TempDir, settings: &str, variables: &[(&str, &Path)]) -> Node {
        let port = ports::free_port().expect("a free port");
        write_settings(directory.path(), settings);
        let process = launch(directory.path(), port, variables);
        let mut node = Node { process, port, directory };
        node.says("chat server ready").await;
        node
    }

    /// On the same port and the same database.
    async fn kill_and_start_again(&mut self) {
        self.process.kill().expect("it is killed");
        std::fs::remove_file(self.path("log")).expect("there is a log");
        self.process = launch(self.directory.path(), self.port, &[]);
        self.says("chat server ready").await;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until the log holds `text`.
    async fn says(&mut self, text: &str) {
        eventually(BUDGET, &format!("the log says {text:?}"), async || {
            self.process.check_running().expect("it runs");
            self.log().contains(text).then_some(())
        })
        .await;
    }

    /// Lets it read `settings`, and waits until it has said so for the `times`th time.
    async fn reload(&mut self, settings: &str, times: usize) {
        write_settings(self.directory.path(), settings);
        self.process.signal(libc::SIGHUP).expect("it is told");
        eventually(BUDGET, "the settings have been read again", async || {
            (self.log().matches("settings read again").count() >= times).then_some(())
        })
        .await;
    }

    async fn connect(&self, authority: Option<&Path>) -> Result<(Client, Events), Error> {
        let mut options = Options::new([format!("localhost:{}", self.port)]).without_reconnect();
        options.tls = authority.map(|path| {
            let config = chat_client::tls::config(Trust::Authorities(path)).expect("a certificate");
            Tls { config: Arc::new(config), server_name: None }
        });
        Client::connect(options).await
    }
}

fn launch(directory: &Path, port: u16, variables: &[(&str, &Path)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-server"));
    command.arg(port.to_string()).arg("--config").arg("server.toml").current_dir(directory);
    command.env("CHAT_LISTEN__HOST", "127.0.0.1").env("NO_COLOR", "1").envs(variables.iter().copied());
    Process::start(command, "chat-server", directory.join("log"), libc::SIGKILL).expect("it starts")
}

fn write_settings(directory: &Path, settings: &str) {
    let text = format!("{settings}\n[password]\nmemory_kib = 8\niterations = 1\n");
    std::fs::write(directory.join("server.toml"), text).expect("the settings are written");
}
