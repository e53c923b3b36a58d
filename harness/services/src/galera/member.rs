//! One of the servers of a Galera cluster.

use super::clock::{FAKETIME, clock_text, clock_variables};
use super::options::options;
use crate::mariadbd::{RunsAs, Server};
use crate::ports::free_port;
use anyhow::{Result, ensure};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What a member that was away can get without a full transfer.
const CACHE: &str = "gcache.size=16M";
const IS_READY: &str =
    "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_ready'";

/// One of the servers.
pub struct Member {
    pub(super) server: Server,
    options: Vec<String>,
}

impl Member {
    /// By its place from 0 among the addresses of all.
    pub(super) fn new(place: usize, addresses: &[String]) -> Result<Member> {
        let server = Server::new(RunsAs::Nobody)?;
        let (transfer_port, catch_up_port) = (free_port()?, free_port()?);
        let listen = format!("gmcast.listen_addr=tcp://{}", addresses[place]);
        let catch_up = format!("ist.recv_addr=127.0.0.1:{catch_up_port}");
        let mut options = options(place, addresses, &[&listen, &catch_up, CACHE]);
        options.push(format!("--wsrep-sst-receive-address=127.0.0.1:{transfer_port}"));
        Ok(Member { server, options })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn kill(&mut self) -> Result<()> {
        self.server.kill()
    }

    /// Whether it ended by itself, or is down.
    pub(super) fn has_ended(&mut self) -> Result<bool> {
        self.server.has_ended()
    }

    pub fn ready(&mut self) -> Result<()> {
        self.server.says(IS_READY, "ON")
    }

    pub fn forget(&self) -> Result<()> {
        self.server.forget()
    }

    pub fn pause(&self) -> Result<()> {
        self.server.pause()
    }

    pub fn resume(&self) -> Result<()> {
        self.server.resume()
    }

    /// From here on its clock is so many seconds ahead (or behind, if negative). It has to be one of
    /// [`super::Galera::start_with_clocks`].
    pub fn set_clock(&self, ahead_s: i64) -> Result<()> {
        // In one piece: it is read at any time.
        let (file, new) = (self.clock(), self.server.directory().join("clock.new"));
        std::fs::write(&new, clock_text(ahead_s))?;
        Ok(std::fs::rename(new, file)?)
    }

    fn clock(&self) -> PathBuf {
        self.server.directory().join("clock")
    }

    /// With a clock that can be set, which the time of the whole process goes by, but not how it passes.
    pub(super) fn give_clock(&mut self) -> Result<()> {
        ensure!(std::fs::exists(FAKETIME)?, "{FAKETIME} is missing: apt-get install libfaketime (or run ci/test)");
        self.set_clock(0)?;
        self.server.set_environment(clock_variables(&self.clock().display().to_string()));
        Ok(())
    }

    pub(super) fn bootstrap(&mut self) -> Result<()> {
        self.server.launch(&[&self.options[..], &["--wsrep-new-cluster".to_owned()]].concat())
    }

    /// Starts it from where it was, so that it needs only what it missed.
    pub fn launch(&mut self) -> Result<()> {
        let mut options = self.options.clone();
        options.extend(self.position()?.map(|position| format!("--wsrep-start-position={position}")));
        self.server.launch(&options)
    }

    /// How far its data goes; `None` if it has none.
    fn position(&self) -> Result<Option<String>> {
        if self.server.has_forgotten()? {
            return Ok(None);
        }
        let log = self.server.directory().join("recover.log");
        let mut options = self.options.clone();
        options.extend(["--wsrep-recover".to_owned(), format!("--log-error={}", log.display())]);
        self.server.program(&options).output()?;
        let said = std::fs::read_to_string(&log)?;
        // The last of them: what earlier starts said stands before it.
        let found = said.lines().rev().find_map(|line| line.split_once("Recovered position: "));
        Ok(found.map(|(_, position)| position.trim().to_owned()))
    }
}
