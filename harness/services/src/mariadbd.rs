//! One `mariadbd` as a child process with its data in a temporary directory: alone, or as a member of a cluster.
//!
//! The directory is large, so it also goes where this value is never dropped, as in a `static`, or where this process
//! is killed: a small shell waits for the end of a pipe that only this process holds open.

use crate::ports::free_port;
use crate::process::{Process, explain};
use anyhow::{Context, Result, bail, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const PACKAGE: &str = "mariadb-server";
/// How long MariaDB may take until it answers: on a busy machine, recovery after a kill takes its time.
const READY_WITHIN: Duration = Duration::from_secs(60);
const READY_INTERVAL: Duration = Duration::from_millis(50);
/// Who may do everything, from anywhere; but not write to a server that is set to be read only.
pub const USER: &str = "chat";
pub const PASSWORD: &str = "chat";
/// Small files and little memory; but flushed as a real one.
const SIZES: [&str; 3] =
    ["--innodb-log-file-size=16M", "--innodb-buffer-pool-size=64M", "--innodb-data-file-path=ibdata1:4M:autoextend"];
/// Whom a server runs as that is not to run as root: `nobody`.
const NOBODY: u32 = 65_534;

/// Whom the server runs as where this process is root's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunsAs {
    Root,
    /// The programs that copy a cluster's data cannot do so as root.
    Nobody,
}

pub(crate) struct Server {
    /// `None` while it is down.
    process: Option<Process>,
    port: u16,
    directory: TempDir,
    runs_as: RunsAs,
    environment: Vec<(&'static str, String)>,
    _cleaner: Child,
}

impl Server {
    /// A directory and a port for one, which is down.
    pub fn new(runs_as: RunsAs) -> Result<Server> {
        let directory = tempfile::Builder::new().prefix("chat-mariadb-").tempdir()?;
        let cleaner = clean_up_at_the_end(directory.path())?;
        let server = Server {
            process: None,
            port: free_port()?,
            directory,
            runs_as,
            environment: Vec::new(),
            _cleaner: cleaner,
        };
        for place in [server.tmpdir(), server.data()] {
            std::fs::create_dir(&place)?;
            server.hand_over(&place)?;
        }
        server.hand_over(server.directory.path())?;
        Ok(server)
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `user:password@host:port`.
    pub fn authority(&self) -> String {
        format!("{USER}:{PASSWORD}@{}", self.address())
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Variables for the server's own process, from its next start on.
    pub fn set_environment(&mut self, variables: impl IntoIterator<Item = (&'static str, String)>) {
        self.environment = variables.into_iter().collect();
    }

    /// Another port, where the one it had was taken by somebody else.
    pub fn move_to_another_port(&mut self) -> Result<()> {
        self.port = free_port()?;
        Ok(())
    }

    /// Makes the system's tables and the user. Blocks for some seconds.
    pub fn install(&self) -> Result<()> {
        // The server's bootstrap reads a statement a line.
        let init = format!(
            "FLUSH PRIVILEGES;\nCREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\nREVOKE READ_ONLY ADMIN ON *.* FROM '{USER}'@'%';\n"
        );
        let file = self.directory.path().join("init.sql");
        std::fs::write(&file, init)?;
        self.hand_over(&file)?;
        let mut install = self.command("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg(format!("--datadir={}", self.data().display())).args(self.as_root());
        install.arg(format!("--tmpdir={}", self.tmpdir().display()));
        install.arg(format!("--extra-file={}", file.display())).args(SIZES);
        let output = install.output().map_err(|error| explain(error, "mariadb-install-db", PACKAGE))?;
        printed(output).context("mariadb-install-db").map(|_| ())
    }

    /// Forgets all that it kept. It must be down.
    pub fn forget(&self) -> Result<()> {
        ensure!(self.process.is_none(), "a server that runs keeps its data");
        std::fs::remove_dir_all(self.data())?;
        std::fs::create_dir(self.data())?;
        self.hand_over(&self.data())
    }

    /// Whether it keeps nothing.
    pub fn has_forgotten(&self) -> Result<bool> {
        Ok(std::fs::read_dir(self.data())?.next().is_none())
    }

    /// The server's program with all its options, these among them.
    pub fn program(&self, options: &[String]) -> Command {
        let mut server = self.command("mariadbd");
        server.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--performance-schema=off"]);
        server.arg(format!("--port={}", self.port)).args(self.as_root()).args(SIZES).arg("--max-connections=500");
        server.arg(format!("--datadir={}", self.data().display()));
        server.arg(format!("--socket={}", self.socket().display()));
        server.arg(format!("--tmpdir={}", self.tmpdir().display()));
        server.arg(format!("--pid-file={}", self.directory.path().join("pid").display())).args(options);
        server
    }

    /// Starts it, and does not wait until it answers.
    pub fn launch(&mut self, options: &[String]) -> Result<()> {
        let log = self.directory.path().join("mariadb.log");
        let mut program = self.program(options);
        program.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        self.process = Some(Process::start(program, PACKAGE, log, libc::SIGKILL)?);
        Ok(())
    }

    /// Waits until the server says `expected` to a query that is asked over its own socket.
    pub fn says(&mut self, query: &str, expected: &str) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            self.process.as_mut().context("MariaDB is down")?.check_running().context("mariadbd")?;
            match self.execute("", query) {
                Ok(text) if text.trim() == expected => return Ok(()),
                answer if Instant::now() >= deadline => bail!("mariadbd is not ready, it says {answer:?}"),
                _ => std::thread::sleep(READY_INTERVAL),
            }
        }
    }

    /// Runs statements in a database (empty: in none), as root; returns a line per row, columns separated by tabs.
    pub fn execute(&self, database: &str, statements: &str) -> Result<String> {
        let mut client = self.client();
        if !database.is_empty() {
            client.arg(database);
        }
        client.args(["--execute", statements]);
        printed(client.output().map_err(|error| explain(error, "mariadb", PACKAGE))?)
    }

    /// Feeds a file of statements to the `mariadb` client.
    pub fn import(&self, database: &str, file: &Path) -> Result<()> {
        let mut client = self.client();
        client.arg(database).stdin(std::fs::File::open(file).with_context(|| file.display().to_string())?);
        printed(client.output().map_err(|error| explain(error, "mariadb", PACKAGE))?).map(|_| ())
    }

    /// Whether it ended by itself, or is down.
    pub fn has_ended(&mut self) -> Result<bool> {
        self.process.as_mut().map_or(Ok(true), |process| Ok(process.exit_status()?.is_some()))
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Stops it in its tracks: connections stay open and nothing is answered, until [`Server::resume`].
    pub fn pause(&self) -> Result<()> {
        self.signal(libc::SIGSTOP)
    }

    /// Lets it go on, with all that was sent to it meanwhile.
    pub fn resume(&self) -> Result<()> {
        self.signal(libc::SIGCONT)
    }

    fn signal(&self, signal: i32) -> Result<()> {
        self.process.as_ref().context("MariaDB is down")?.signal(signal)
    }

    fn client(&self) -> Command {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--batch", "--skip-column-names", "--default-character-set=utf8mb4"]);
        client.arg("--user=root").arg(format!("--socket={}", self.socket().display())).stdin(Stdio::null());
        client
    }

    /// A program that is run as the server is.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if is_root() && self.runs_as == RunsAs::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// MariaDB refuses to run as root unless told to.
    fn as_root(&self) -> Option<&'static str> {
        (is_root() && self.runs_as == RunsAs::Root).then_some("--user=root")
    }

    fn hand_over(&self, path: &Path) -> Result<()> {
        if is_root() && self.runs_as == RunsAs::Nobody {
            chown(path, Some(NOBODY), Some(NOBODY)).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Its own: a server that starts removes the temporary tables it finds, also those of others.
    fn tmpdir(&self) -> PathBuf {
        self.directory.path().join("tmp")
    }
}

fn is_root() -> bool {
    // SAFETY: geteuid touches no memory and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Removes `directory` once this process is gone, however it ended.
fn clean_up_at_the_end(directory: &Path) -> Result<Child> {
    // It reads until this process's end of the pipe closes. Files may appear until the last of the server is gone as
    // well.
    const CLEAN: &str = "trap '' INT TERM HUP; cat; for again in 1 2 3 4 5; do rm -rf \"$1\"; sleep 0.3; done";
    let mut shell = Command::new("sh");
    shell.args(["-c", CLEAN, "sh"]).arg(directory).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Not in the group that gets a terminal's Ctrl-C or a test runner's signal.
    shell.process_group(0);
    Ok(shell.spawn()?)
}

pub(crate) fn printed(output: Output) -> Result<String> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
