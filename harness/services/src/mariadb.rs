//! A MariaDB of one's own: `mariadbd` as a child process with its data in a temporary directory.
//!
//! The directory is large, so it also goes where this value is never dropped, as in a `static`, or where this process
//! is killed: a small shell waits for the end of a pipe that only this process holds open.

use crate::ports::free_port;
use crate::process::{Process, explain};
use anyhow::{Context, Result, bail, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PACKAGE: &str = "mariadb-server";
/// Ports tried before giving up, since another process may take one first.
const ATTEMPTS: usize = 5;
/// How long MariaDB may take until it answers: on a busy machine, recovery after a kill takes its time.
const READY_WITHIN: Duration = Duration::from_secs(60);
const READY_INTERVAL: Duration = Duration::from_millis(50);
/// Who may do everything, from anywhere.
const USER: &str = "chat";
const PASSWORD: &str = "chat";

pub struct Mariadb {
    /// `None` after [`Mariadb::kill`].
    process: Option<Process>,
    port: u16,
    directory: TempDir,
    _cleaner: Child,
}

impl Mariadb {
    /// Makes a data directory, starts a server on it and waits until it answers. Blocks for some seconds.
    pub fn start() -> Result<Mariadb> {
        let directory = tempfile::Builder::new().prefix("chat-mariadb-").tempdir()?;
        let cleaner = clean_up_at_the_end(directory.path())?;
        install(directory.path())?;
        let mut attempt = 1;
        loop {
            let port = free_port()?;
            match run(port, directory.path()) {
                Ok(process) => return Ok(Mariadb { process: Some(process), port, directory, _cleaner: cleaner }),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `mysql://user:password@host:port/database`.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://{USER}:{PASSWORD}@{}/{database}", self.address())
    }

    pub fn create_database(&self, name: &str) -> Result<()> {
        self.execute("", &format!("CREATE DATABASE `{name}`")).map(|_| ())
    }

    /// Runs statements with the `mariadb` client in a database (empty: in none), and returns what it prints: a line per
    /// row, columns separated by tabs, no headings.
    pub fn execute(&self, database: &str, statements: &str) -> Result<String> {
        let mut client = client(self.directory.path())?;
        if !database.is_empty() {
            client.arg(database);
        }
        client.args(["--execute", statements]);
        printed(client.output().map_err(|error| explain(error, "mariadb", PACKAGE))?)
    }

    /// Feeds a file of statements to the `mariadb` client.
    pub fn import(&self, database: &str, file: &Path) -> Result<()> {
        let mut client = client(self.directory.path())?;
        client.arg(database).stdin(std::fs::File::open(file).with_context(|| file.display().to_string())?);
        printed(client.output().map_err(|error| explain(error, "mariadb", PACKAGE))?).map(|_| ())
    }

    /// Writes a database into a file of statements, as of one moment, while it is in use.
    pub fn dump(&self, database: &str, file: &Path) -> Result<()> {
        let mut dump = Command::new("mariadb-dump");
        dump.args(["--no-defaults", "--single-transaction", "--hex-blob", "--default-character-set=utf8mb4"]);
        dump.arg(format!("--user={USER}")).arg(format!("--password={PASSWORD}"));
        dump.arg(format!("--socket={}", socket(self.directory.path()).display()));
        dump.arg(format!("--result-file={}", file.display())).arg(database).stdin(Stdio::null());
        printed(dump.output().map_err(|error| explain(error, "mariadb-dump", PACKAGE))?).map(|_| ())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Kills it if it runs, starts it again on the same data at the same address, and waits until it answers.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.process = Some(run(self.port, self.directory.path())?);
        Ok(())
    }

    /// Stops it in its tracks: connections stay open and nothing is answered, until [`Mariadb::resume`].
    pub fn pause(&self) -> Result<()> {
        self.running()?.signal(libc::SIGSTOP)
    }

    /// Lets it go on, with all that was sent to it meanwhile.
    pub fn resume(&self) -> Result<()> {
        self.running()?.signal(libc::SIGCONT)
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().context("MariaDB is down")
    }
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

fn install(directory: &Path) -> Result<()> {
    // The server's bootstrap reads a statement a line.
    let init = format!(
        "FLUSH PRIVILEGES;\nCREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
    );
    std::fs::write(directory.join("init.sql"), init)?;
    let mut install = Command::new("mariadb-install-db");
    install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    install.arg(format!("--datadir={}", data(directory).display())).args(as_root());
    install.arg(format!("--tmpdir={}", own_tmpdir(directory)?.display()));
    install.arg(format!("--extra-file={}", directory.join("init.sql").display()));
    install.args(SIZES);
    printed(install.output().map_err(|error| explain(error, "mariadb-install-db", PACKAGE))?)
        .context("mariadb-install-db")
        .map(|_| ())
}

/// Small files and little memory; but flushed as a real one.
const SIZES: [&str; 3] =
    ["--innodb-log-file-size=16M", "--innodb-buffer-pool-size=64M", "--innodb-data-file-path=ibdata1:4M:autoextend"];

fn run(port: u16, directory: &Path) -> Result<Process> {
    let mut server = Command::new("mariadbd");
    server.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--performance-schema=off"]);
    server.arg(format!("--port={port}")).args(as_root()).args(SIZES).arg("--max-connections=500");
    server.arg(format!("--datadir={}", data(directory).display()));
    server.arg(format!("--socket={}", socket(directory).display()));
    server.arg(format!("--tmpdir={}", own_tmpdir(directory)?.display()));
    server.arg(format!("--pid-file={}", directory.join("pid").display()));
    let mut process = Process::start(server, PACKAGE, directory.join("mariadb.log"), libc::SIGKILL)?;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        process.check_running().context("mariadbd")?;
        let mut client = client(directory)?;
        let answer = client.args(["--execute", "SELECT @@port"]).output();
        let answer = printed(answer.map_err(|error| explain(error, "mariadb", PACKAGE))?);
        match answer {
            Ok(text) if text.trim() == port.to_string() => return Ok(process),
            answer if Instant::now() >= deadline => bail!("mariadbd is not ready, it says {answer:?}"),
            _ => std::thread::sleep(READY_INTERVAL),
        }
    }
}

fn client(directory: &Path) -> Result<Command> {
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "--batch", "--skip-column-names", "--default-character-set=utf8mb4"]);
    client.arg(format!("--user={USER}")).arg(format!("--password={PASSWORD}"));
    client.arg(format!("--socket={}", socket(directory).display())).stdin(Stdio::null());
    Ok(client)
}

/// MariaDB refuses to run as root unless told to.
fn as_root() -> Option<&'static str> {
    // SAFETY: geteuid touches no memory and cannot fail.
    (unsafe { libc::geteuid() } == 0).then_some("--user=root")
}

/// A server that starts removes the temporary tables it finds, also those of others.
fn own_tmpdir(directory: &Path) -> Result<PathBuf> {
    let tmpdir = directory.join("tmp");
    std::fs::create_dir_all(&tmpdir)?;
    Ok(tmpdir)
}

fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("socket")
}

fn printed(output: Output) -> Result<String> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_data_survives_a_kill() {
        let mut mariadb = Mariadb::start().expect("MariaDB starts");
        mariadb.create_database("one").expect("a database is made");
        mariadb.execute("one", "CREATE TABLE t (n INT); INSERT INTO t VALUES (42)").expect("a row is written");

        mariadb.kill().expect("MariaDB dies");
        assert!(mariadb.execute("one", "SELECT n FROM t").is_err());
        mariadb.restart().expect("MariaDB starts again");

        assert_eq!(mariadb.execute("one", "SELECT n FROM t").expect("MariaDB answers"), "42\n");
    }
}
