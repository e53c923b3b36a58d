//! What can be broken in a running cluster, one file a fault; its line in `faults!` registers it.
//!
//! A [`Fault`] is a value: it can be written down, read back, and inflicted. That gives an [`Active`], which heals when
//! told to or, at the latest, when dropped.

mod active;
mod chances;
mod holder;
mod link;

pub use active::Active;

use crate::cluster::{Ability, Cluster, Flavour, Replication, Setup};
use crate::held::Held;
use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Declares each fault's file, and puts its kind into the table.
macro_rules! faults {
    ($($file:ident,)*) => {
        $(mod $file;)*

        /// Every kind of fault, in the order of the help text.
        pub const KINDS: &[Kind] = &[$($file::KIND,)*];
    };
}

faults! {
    kill,
    terminate,
    pause,
    restart,
    rolling_restart,
    isolate,
    isolate_with,
    cut,
    cut_from,
    slow,
    thin,
    silent,
    reset,
    exhaust,
    reload,
    replace,
    switchover,
    lag,
    clock,
    split,
}

/// A kind of fault: what there is to say of it, and how to make one.
pub struct Kind {
    /// How it is written: its name, then what goes with it; what is in capitals is to be replaced.
    pub usage: &'static str,
    /// For the help text.
    pub effect: &'static str,
    /// What it takes that not every cluster can do.
    pub needs: Option<Ability>,
    /// What of it belongs into the table of all stories, and how many seconds it lasts there: longer than it takes to
    /// be found out.
    pub table: &'static [(&'static str, u64)],
    /// All that a cluster of this setup can have, for faults at random.
    pub chances: fn(&Setup) -> Vec<String>,
    /// Makes one of the words behind its name, as many as `usage` has.
    read: fn(&[&str]) -> Result<Arc<dyn Breakage>>,
}

/// How one kind of fault is made to happen.
#[async_trait]
trait Breakage: Send + Sync {
    /// The roles of machines that it takes, beside those that it is written with.
    fn takes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns when it has happened.
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting>;

    /// What is to be done when that which lasts has been released; returns when what was broken does its work again.
    async fn heal(&self, _cluster: &dyn Cluster) -> Result<()> {
        Ok(())
    }
}

/// Servers of a database that a fault takes several of: a majority outlives one.
const MEMBERS: usize = 3;
/// Buses where a fault takes several.
const BUSES: usize = 2;

/// What a fault lasts as long as, where that is not the cluster itself.
type Lasting = Option<Box<dyn Held>>;

/// One thing that goes wrong, as it is written: `kill node-1`.
#[derive(Clone)]
pub struct Fault {
    words: Vec<String>,
    /// The machines that it is about.
    roles: Vec<String>,
    needs: Option<Ability>,
    breakage: Arc<dyn Breakage>,
}

impl Fault {
    /// Makes it happen; returns when it has.
    ///
    /// # Errors
    /// If there is no such machine, or the cluster or this machine lacks what it takes.
    pub async fn inflict(&self, cluster: &dyn Cluster) -> Result<Active> {
        let lasting = self.breakage.inflict(cluster).await.with_context(|| format!("cannot inflict {self}"))?;
        Ok(Active::new(self.clone(), cluster.handle(), lasting))
    }

    /// What it takes that not every cluster can do.
    pub fn needs(&self) -> Option<Ability> {
        self.needs
    }

    /// Whether a cluster of this setup has all the services that it is about.
    pub fn fits(&self, setup: &Setup) -> bool {
        let services = setup.services();
        if self.needs == Some(Ability::Clocks) && !setup.may_have_clocks() {
            return false;
        }
        self.roles.iter().filter(|role| is_service(role)).all(|role| services.contains(role))
    }

    /// Whether it can be there at the same time as another: both are about machines, and not about the same.
    pub fn goes_with(&self, other: &Fault) -> bool {
        let is_apart = !self.roles.is_empty() && !self.roles.iter().any(|role| other.roles.contains(role));
        is_apart && !other.roles.is_empty()
    }

    fn concerns(&self, start: &str) -> bool {
        self.roles.iter().any(|role| role.starts_with(start))
    }
}

fn is_service(role: &str) -> bool {
    role.starts_with("database") || role.starts_with("redis")
}

/// All single faults that a cluster of this setup can have.
pub fn all(setup: &Setup) -> Vec<Fault> {
    let texts = KINDS.iter().flat_map(|kind| (kind.chances)(setup));
    texts.map(|text| text.parse().expect("a kind of fault reads what it writes")).collect()
}

/// The setup with what these faults take.
pub fn prepare<'f>(setup: Setup, faults: impl IntoIterator<Item = &'f Fault>) -> Setup {
    faults.into_iter().fold(setup, |setup, fault| {
        let setup = match fault.needs {
            Some(Ability::Relays) => setup.relays(),
            Some(Ability::Clocks) => setup.clocks(),
            _ => setup,
        };
        let setup = if fault.concerns("database") { setup.own_database() } else { setup };
        let is_alone = setup.flavour.replication() == Replication::None;
        let setup = match fault.concerns("database-") && is_alone {
            true => setup.database(Flavour::Galera(MEMBERS)),
            false => setup,
        };
        if fault.concerns("redis-") && setup.buses == 1 { setup.buses(BUSES) } else { setup }
    })
}

/// What can be broken, a line each, for a help text.
pub fn help() -> String {
    let mut text = "Faults:\n".to_owned();
    for Kind { usage, effect, .. } in KINDS {
        text += &format!("  {usage:<32} {effect}\n");
    }
    text + "\nA MACHINE is node-1, node-2 …, database, redis or nginx; with --galera or --group-replication \
            database-1 …,\nwith --buses redis-1 …. The links of slow, thin, silent and reset are those between a node \
            and a database\nor redis, in a cluster started with harness up --proxied."
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Fault {
    fn eq(&self, other: &Fault) -> bool {
        self.words == other.words
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let Some(kind) = KINDS.iter().find(|kind| kind.is_written(&words)) else {
            let usages: Vec<&str> = KINDS.iter().map(|kind| kind.usage).collect();
            bail!("there is no fault {text:?}, but: {}", usages.join("; "));
        };
        let breakage = (kind.read)(&words[1..])?;
        let named =
            kind.usage.split(' ').zip(&words).filter(|(usual, _)| MACHINES.contains(usual)).map(|(_, word)| *word);
        let roles = named.chain(breakage.takes().iter().copied()).map(str::to_owned).collect();
        let words = words.into_iter().map(str::to_owned).collect();
        Ok(Fault { words, roles, needs: kind.needs, breakage })
    }
}

/// What stands for a machine where it says how a fault is written.
const MACHINES: [&str; 3] = ["MACHINE", "ONE", "OTHER"];

impl Kind {
    fn is_written(&self, words: &[&str]) -> bool {
        let usage: Vec<&str> = self.usage.split(' ').collect();
        let is_like = |(usual, word): (&&str, &&str)| usual == word || usual.starts_with(|c: char| c.is_uppercase());
        usage.len() == words.len() && usage.iter().zip(words).all(is_like)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_written() {
        for Kind { usage, .. } in KINDS {
            let text = usage.replace("MACHINE", "node-2").replace("ONE", "node-1").replace("OTHER", "redis");
            let text = text
                .replace("MILLISECONDS", "100")
                .replace("SECONDS", "3s")
                .replace("OFFSET", "-10s")
                .replace("BYTES_PER_SECOND", "4000");
            let fault: Fault = text.parse().expect("it is a fault");
            assert_eq!(fault.to_string(), text);
        }
    }

    #[test]
    fn faults_of_the_table_and_at_random_can_be_read() {
        for (text, _) in KINDS.iter().flat_map(|kind| kind.table) {
            text.parse::<Fault>().expect("it is a fault");
        }
        assert!(all(&Setup::nodes(2)).iter().any(|fault| fault.to_string() == "cut-from nginx node-2"));
    }

    #[test]
    fn setup_has_what_faults_take() {
        let check = |fault: &str, services: &[&str]| {
            let fault: Fault = fault.parse().expect("it is a fault");
            let setup = prepare(Setup::nodes(3), [&fault]);
            assert_eq!(setup.services(), services, "{fault}");
            assert!(fault.fits(&setup), "{fault}");
        };
        check("kill database", &["redis", "database"]);
        check("switchover", &["redis", "database-1", "database-2", "database-3"]);
        check("isolate database-1 with node-1", &["redis", "database-1", "database-2", "database-3"]);
        check("split redis", &["redis-1", "redis-2", "database"]);
        let exhaust: Fault = "exhaust database".parse().expect("it is a fault");
        assert!(!exhaust.fits(&Setup::nodes(3).database(Flavour::Galera(3))));
        let group = Setup::nodes(3).database(Flavour::GroupReplication(3));
        let [switchover, clock] = ["switchover", "clock database-1 +10s"].map(|text| text.parse().expect("a fault"));
        assert!(Fault::fits(&switchover, &group) && !Fault::fits(&clock, &group));
        assert_eq!(prepare(group.clone(), [&switchover]).services(), group.services());
    }

    #[test]
    fn faults_of_one_machine_do_not_overlap() {
        let goes = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|text| text.parse::<Fault>().expect("it is a fault"));
            assert_eq!(one.goes_with(&other), other.goes_with(&one), "{one}, {other}");
            one.goes_with(&other)
        };
        assert!(goes("kill node-1", "pause database-2"));
        assert!(!goes("cut nginx node-1", "kill node-1"));
        assert!(!goes("rolling-restart", "kill redis"));
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        let check = |text: &str, why: &str| {
            let error = text.parse::<Fault>().expect_err(text).to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        };
        for text in ["", "kill", "kill a b", "explode node-1", "slow node-1 redis", "exhaust redis"] {
            check(text, "exhaust database");
        }
        check("slow node-1 redis 0", "milliseconds are a whole number from 1");
        check("lag database-3 3", "a lag is 1s to 255s");
        check("clock database-2 10s", "an offset is like +10s");
        check("thin node-1 redis 1.5", "bytes a second are a whole number from 1");
    }

    #[test]
    fn help_lists_every_fault() {
        insta::assert_snapshot!(help());
    }
}
