//! A MariaDB of one's own: a single server.

use crate::mariadbd::{PACKAGE, PASSWORD, RunsAs, Server, USER, printed};
use crate::ports::ATTEMPTS;
use crate::process::explain;
use anyhow::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// A server with its data in a temporary directory; both end when it is dropped.
pub struct Mariadb(Server);

impl Mariadb {
    /// Makes a data directory, starts a server on it and waits until it answers. Blocks for some seconds.
    pub fn start() -> Result<Mariadb> {
        let mut server = Server::new(RunsAs::Root)?;
        server.install()?;
        let mut attempt = 1;
        loop {
            match run(&mut server) {
                Ok(()) => return Ok(Mariadb(server)),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
            server.move_to_another_port()?;
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// `mysql://user:password@host:port/database`.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://{}/{database}", self.0.authority())
    }

    pub fn create_database(&self, name: &str) -> Result<()> {
        self.execute("", &format!("CREATE DATABASE `{name}`")).map(|_| ())
    }

    /// Runs statements with the `mariadb` client in a database (empty: in none), and returns what it prints: a line per
    /// row, columns separated by tabs, no headings.
    pub fn execute(&self, database: &str, statements: &str) -> Result<String> {
        self.0.execute(database, statements)
    }

    /// Feeds a file of statements to the `mariadb` client.
    pub fn import(&self, database: &str, file: &Path) -> Result<()> {
        self.0.import(database, file)
    }

    /// Writes a database into a file of statements, as of one moment, while it is in use.
    pub fn dump(&self, database: &str, file: &Path) -> Result<()> {
        let mut dump = Command::new("mariadb-dump");
        dump.args(["--no-defaults", "--single-transaction", "--hex-blob", "--default-character-set=utf8mb4"]);
        dump.arg(format!("--user={USER}")).arg(format!("--password={PASSWORD}"));
        dump.arg(format!("--socket={}", self.0.socket().display()));
        dump.arg(format!("--result-file={}", file.display())).arg(database).stdin(Stdio::null());
        printed(dump.output().map_err(|error| explain(error, "mariadb-dump", PACKAGE))?).map(|_| ())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()
    }

    /// Kills it if it runs, starts it again on the same data at the same address, and waits until it answers.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        run(&mut self.0)
    }

    /// Stops it in its tracks: connections stay open and nothing is answered, until [`Mariadb::resume`].
    pub fn pause(&self) -> Result<()> {
        self.0.pause()
    }

    /// Lets it go on, with all that was sent to it meanwhile.
    pub fn resume(&self) -> Result<()> {
        self.0.resume()
    }
}

fn run(server: &mut Server) -> Result<()> {
    server.launch(&[])?;
    let port = server.address().port().to_string();
    server.says("SELECT @@port", &port)
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
