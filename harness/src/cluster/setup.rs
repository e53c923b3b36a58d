//! What a cluster is to be like.

use anyhow::{Result, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use strum::{Display, EnumString};

/// Settings that make a cluster quick to test. Hashes are cheap, since not their strength is under test; a drain that
/// waited for people would only be slow. All users are made at one address.
const QUICK: [(&str, &str); 5] = [
    ("password.memory_kib", "8"),
    ("password.iterations", "1"),
    ("limits.drain_s", "2"),
    ("limits.registrations_per_hour_per_ip", "0"),
    ("log.filter", "info,chat=debug"),
];

/// Members of a replicated database: what fits one screen, and its network.
const MAX_MEMBERS: usize = 9;

/// What is kept of each log with [`Setup::short_logs`]: little, so that something goes within a story.
pub(crate) const SHORT_LOG: u64 = 20;
/// As long as a lease: whoever was cut off has sent again what was not acknowledged.
pub(crate) const MID_WINDOW: Duration = Duration::from_secs(8);

/// What keeps the cluster's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    #[default]
    Mysql,
    Mariadb,
    /// So many MariaDB servers that replicate to each other.
    Galera(usize),
    /// So many MySQL servers that replicate to each other. Clusters of processes cannot have it.
    GroupReplication(usize),
}

/// How the servers of a database share what one of them commits.
#[derive(Clone, Copy, Debug, Display, EnumString, PartialEq, Eq)]
pub(crate) enum Replication {
    None,
    Galera,
    Group,
}

impl Flavour {
    pub(crate) fn replication(self) -> Replication {
        match self {
            Flavour::Mysql | Flavour::Mariadb => Replication::None,
            Flavour::Galera(_) => Replication::Galera,
            Flavour::GroupReplication(_) => Replication::Group,
        }
    }
}

/// What every kind of cluster is told before its start.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(crate) nodes: usize,
    pub(crate) flavour: Flavour,
    pub(crate) buses: usize,
    pub(crate) has_clocks: bool,
    pub(crate) is_redis_down: bool,
    pub(crate) has_own_database: bool,
    pub(crate) has_relays: bool,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    settings: Vec<(String, String)>,
}

impl Setup {
    pub fn nodes(count: usize) -> Setup {
        Setup {
            nodes: count,
            flavour: Flavour::default(),
            buses: 1,
            has_clocks: false,
            is_redis_down: false,
            has_own_database: false,
            has_relays: false,
            files: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// Which database; MySQL if not said. Clusters of processes have MariaDB for either.
    pub fn database(mut self, flavour: Flavour) -> Self {
        self.flavour = flavour;
        self
    }

    /// So many Redis, which know nothing of each other.
    pub fn buses(mut self, count: usize) -> Self {
        self.buses = count;
        self
    }

    /// The members of a Galera cluster have clocks that can be set; no other database has.
    pub fn clocks(mut self) -> Self {
        self.has_clocks = true;
        self
    }

    /// The roles of what nodes need: of Redis, then of the database.
    pub fn services(&self) -> Vec<String> {
        [self.redises(), self.databases()].concat()
    }

    pub(crate) fn redises(&self) -> Vec<String> {
        match self.buses {
            1 => vec!["redis".to_owned()],
            count => (1..=count).map(|number| format!("redis-{number}")).collect(),
        }
    }

    pub(crate) fn databases(&self) -> Vec<String> {
        match self.flavour {
            Flavour::Mysql | Flavour::Mariadb => vec!["database".to_owned()],
            Flavour::Galera(count) | Flavour::GroupReplication(count) => {
                (0..count).map(services::galera::name).collect()
            }
        }
    }

    /// Whether its database servers can have clocks that can be set.
    pub(crate) fn may_have_clocks(&self) -> bool {
        matches!(self.flavour, Flavour::Galera(_))
    }

    /// # Errors
    /// If there are too few or too many of something.
    pub(crate) fn check(&self) -> Result<()> {
        for (what, count) in [("buses", self.buses), ("members of the database", self.databases().len())] {
            ensure!((1..=MAX_MEMBERS).contains(&count), "a cluster has 1 to {MAX_MEMBERS} {what}, not {count}");
        }
        Ok(())
    }

    /// Redis is down from the beginning.
    pub fn redis_down(mut self) -> Self {
        self.is_redis_down = true;
        self
    }

    /// A database server that no other cluster uses, so that it can be harmed.
    pub fn own_database(mut self) -> Self {
        self.has_own_database = true;
        self
    }

    /// Nodes reach the database and Redis through relays that can be made bad.
    pub fn relays(mut self) -> Self {
        self.has_relays = true;
        self
    }

    /// One more setting for every node: a key of `conf/server.toml` as `section.key`. nginx sends PROXY headers, which
    /// nodes require from it and, with `listen.proxy_protocol`, from everybody.
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// Messages are removed while people chat: all but the newest of each log, once everybody has received them.
    pub fn short_logs(self) -> Self {
        let setup = self.setting("retention.messages", &SHORT_LOG.to_string());
        let setup = setup.setting("retention.mid_window_s", &MID_WINDOW.as_secs().to_string());
        setup.setting("retention.interval_s", "1")
    }

    /// A file for every node, as for a certificate, at an absolute path that a setting names.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.into(), content.into()));
        self
    }

    /// Nodes answer only whoever begins as nginx or a TLS client does.
    pub(crate) fn is_guarded(&self) -> bool {
        self.is_on("listen.proxy_protocol") || self.is_on("tls.required")
    }

    pub(crate) fn is_on(&self, setting: &str) -> bool {
        self.settings.iter().any(|(key, value)| key == setting && value == "true")
    }

    /// All settings of a node: `first`, those that make it quick, and those asked for. Without other wishes it asks the
    /// proxy at `proxy_from` for PROXY headers.
    pub(crate) fn settings(&self, first: &[(&str, String)], proxy_from: &str) -> Vec<(String, String)> {
        let is_said = |key: &str| self.settings.iter().any(|(own, _)| own == key);
        let mut all: Vec<(String, String)> =
            first.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        if !self.is_on("listen.proxy_protocol") {
            all.push(("listen.proxy_from".to_owned(), proxy_from.to_owned()));
        }
        all.extend(QUICK.map(|(key, value)| (key.to_owned(), value.to_owned())));
        all.retain(|(key, _)| !is_said(key));
        all.extend(self.settings.iter().cloned());
        all
    }
}

/// Where nodes find their database: the servers in the order in which they are to be used.
pub(crate) fn database_url(servers: &[SocketAddr], name: &str) -> String {
    format!("mysql://chat:chat@{}/{name}", joined(servers, ""))
}

/// Where nodes find their buses.
pub(crate) fn bus_url(servers: &[SocketAddr]) -> String {
    joined(servers, "redis://")
}

fn joined(servers: &[SocketAddr], scheme: &str) -> String {
    servers.iter().map(|server| format!("{scheme}{server}")).collect::<Vec<_>>().join(",")
}
