//! A Galera cluster of one's own: MariaDB servers on this machine that replicate to each other synchronously.
//!
//! Members are named by their place, from 0. Failure detection is quick (a second of silence), as it has to be for
//! nodes whose leases last some seconds. A member that was killed gets what it missed; one that has forgotten
//! everything, or missed too much, gets all the data anew from another.

mod clock;
mod member;
mod options;

pub use clock::{clock_text, clock_variables};
pub use member::Member;
pub use options::{name, options};

use crate::ports::free_port;
use anyhow::{Context, Result, ensure};
use options::PROVIDER;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a cluster may take until it takes a statement.
const MADE_WITHIN: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(100);
/// How often a member is started that ends while it joins, the first time included. Beyond it, the error says how it
/// ended last.
const MOST_STARTS: u32 = 3;

/// A cluster of MariaDB servers. They end when it is dropped.
pub struct Galera {
    members: Vec<Member>,
}

impl Galera {
    /// Makes one of so many members, and returns when all are ready. Blocks: for ten seconds and more.
    pub fn start(count: usize) -> Result<Galera> {
        Galera::new(count)?.begin()
    }

    /// The same with members whose clocks can be set.
    pub fn start_with_clocks(count: usize) -> Result<Galera> {
        let mut galera = Galera::new(count)?;
        galera.members.iter_mut().try_for_each(Member::give_clock)?;
        galera.begin()
    }

    fn new(count: usize) -> Result<Galera> {
        ensure!(count > 0, "a cluster has members");
        ensure!(std::fs::exists(PROVIDER)?, "{PROVIDER} is missing: apt-get install galera-4 rsync (or run ci/test)");
        let address = |_| Ok(format!("127.0.0.1:{}", free_port()?));
        let addresses = (0..count).map(address).collect::<Result<Vec<String>>>()?;
        let members = (0..count).map(|place| Member::new(place, &addresses)).collect::<Result<_>>()?;
        Ok(Galera { members })
    }

    /// The first makes the cluster, and the others get its data.
    fn begin(mut self) -> Result<Galera> {
        self.members[0].server.install()?;
        self.members[0].bootstrap()?;
        self.ready(0)?;
        for place in 1..self.members.len() {
            self.launch(place)?;
        }
        // The first as well: it may have helped others, or been taken for dead on a busy machine.
        for place in 0..self.members.len() {
            self.join(place)?;
        }
        Ok(self)
    }

    /// Where each member listens, by its place.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.server.address()).collect()
    }

    /// All members in their order: `mysql://user:password@host:port,host:port,host:port/database`.
    pub fn url(&self, database: &str) -> String {
        let others = self.members[1..].iter().map(|member| format!(",{}", member.server.address()));
        format!("mysql://{}{}/{database}", self.members[0].server.authority(), others.collect::<String>())
    }

    /// One member alone.
    pub fn url_of(&self, place: usize, database: &str) -> String {
        format!("mysql://{}/{database}", self.members[place].server.authority())
    }

    pub fn create_database(&self, name: &str) -> Result<()> {
        // Again and again: on a busy machine members are taken for dead, and none takes statements for a moment.
        let deadline = Instant::now() + MADE_WITHIN;
        while let Err(error) = self.execute(0, "", &format!("CREATE DATABASE IF NOT EXISTS `{name}`")) {
            ensure!(Instant::now() < deadline, "not within {MADE_WITHIN:?}: {error:#}");
            std::thread::sleep(INTERVAL);
        }
        Ok(())
    }

    /// Runs statements on a member, as root, in a database (empty: in none); returns a line per row, columns separated
    /// by tabs.
    pub fn execute(&self, place: usize, database: &str, statements: &str) -> Result<String> {
        self.members[place].server.execute(database, statements)
    }

    /// Ends a member at once, as a crash would.
    pub fn kill(&mut self, place: usize) -> Result<()> {
        self.members[place].kill()
    }

    /// Kills a member if it runs, starts it again, and waits until it is ready.
    pub fn restart(&mut self, place: usize) -> Result<()> {
        self.kill(place)?;
        self.launch(place)?;
        self.join(place)
    }

    /// Waits until a member that was launched is ready. On a busy machine one that joins is taken for dead, and ends:
    /// it is started again, as by a supervisor.
    fn join(&mut self, place: usize) -> Result<()> {
        let mut start = 1;
        while let Err(error) = self.ready(place) {
            if start == MOST_STARTS || !self.members[place].has_ended()? {
                return Err(error);
            }
            eprintln!("galera: member {place} ended at start {start} of {MOST_STARTS}, starting it again: {error:#}");
            self.kill(place)?;
            self.launch(place)?;
            start += 1;
        }
        Ok(())
    }

    /// Starts a member that is down, and does not wait: alone among dead ones it will never be ready.
    pub fn launch(&mut self, place: usize) -> Result<()> {
        self.members[place].launch()
    }

    /// Waits until a member takes statements.
    pub fn ready(&mut self, place: usize) -> Result<()> {
        self.members[place].ready().with_context(|| format!("member {place}"))
    }

    /// A dead member loses all its data: it will get everything anew.
    pub fn forget(&self, place: usize) -> Result<()> {
        self.members[place].forget()
    }

    /// Stops a member in its tracks: connections stay open and nothing is answered, until [`Galera::resume`].
    pub fn pause(&self, place: usize) -> Result<()> {
        self.members[place].pause()
    }

    /// Lets it go on, with all that was sent to it meanwhile.
    pub fn resume(&self, place: usize) -> Result<()> {
        self.members[place].resume()
    }

    /// A member takes no writes from users, or takes them again. Connections stay open.
    pub fn set_read_only(&self, place: usize, is_read_only: bool) -> Result<()> {
        let value = u8::from(is_read_only);
        self.execute(place, "", &format!("SET GLOBAL read_only = {value}")).map(|_| ())
    }

    /// The members by themselves, to be broken independently of each other.
    pub fn into_members(self) -> Vec<Member> {
        self.members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(galera: &Galera, place: usize) -> String {
        let statements = "SET SESSION wsrep_sync_wait = 1; SELECT COUNT(*) FROM t";
        galera.execute(place, "one", statements).expect("the member answers").trim().to_owned()
    }

    #[test]
    fn members_that_were_away_have_everything_again() {
        let mut galera = Galera::start(3).expect("Galera starts");
        galera.create_database("one").expect("a database is made");
        galera.execute(0, "one", "CREATE TABLE t (n INT PRIMARY KEY); INSERT INTO t VALUES (1)").expect("a row");
        assert_eq!(rows(&galera, 2), "1");

        galera.kill(0).expect("a member dies");
        galera.execute(1, "one", "INSERT INTO t VALUES (2)").expect("the others go on");
        galera.restart(0).expect("it is back");
        assert_eq!(rows(&galera, 0), "2");

        galera.kill(2).expect("a member dies");
        // This commits only once the dead member has been evicted. Without its data it comes back under a new identity;
        // if the old one still counted, the group would have no majority.
        galera.execute(0, "one", "INSERT INTO t VALUES (3)").expect("the others go on");
        galera.forget(2).expect("its data is gone");
        galera.restart(2).expect("it is back");
        assert_eq!(rows(&galera, 2), "3");
    }

    #[test]
    fn one_of_three_takes_no_statement_until_the_others_are_back() {
        let mut galera = Galera::start(3).expect("Galera starts");
        galera.create_database("one").expect("a database is made");
        galera.execute(0, "one", "CREATE TABLE t (n INT PRIMARY KEY)").expect("a table is made");

        galera.kill(0).expect("a member dies");
        galera.kill(1).expect("another dies");
        assert!(galera.execute(2, "one", "INSERT INTO t VALUES (1)").is_err());

        // One may not be enough: those who saw the first die, but not the second, are two of which one is left.
        galera.launch(0).expect("one comes back");
        galera.launch(1).expect("the other comes back");
        for place in 0..3 {
            galera.ready(place).expect("all are back");
        }
        galera.execute(2, "one", "INSERT INTO t VALUES (1)").expect("statements are taken");
        assert_eq!(rows(&galera, 0), "1");
    }
}
