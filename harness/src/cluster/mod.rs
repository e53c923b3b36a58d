//! What stories and faults know of a cluster, whatever kind it is: machines that can be broken, addresses that clients
//! connect to, and a database that can be asked.
//!
//! Machines are named by their role: `node-1`, `node-2` …, `database`, `redis`, `nginx`; of several, `database-1` and
//! `redis-1` …. A verb that a kind does not have is an [`Ability`] that it lacks; asked all the same, it is an error.

mod probe;
mod setup;
pub(crate) mod statement;

pub(crate) use probe::{Probe, ask, query, until};
pub use setup::{Flavour, Setup};
pub(crate) use setup::{MID_WINDOW, Replication, SHORT_LOG, bus_url, database_url};

use crate::held::Held;
use crate::link::Trouble;
use crate::users::{Record, Records, Summary, rows};
use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use serde_json::Value;
use std::any::Any;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use strum::Display;

/// The first of the database servers that nodes have, where there are several.
pub(crate) const PREFERRED: &str = "database-1";

/// A kind of cluster.
#[async_trait(?Send)]
pub trait Kind: Sync {
    /// In the plural, as in "containers".
    fn name(&self) -> &'static str;

    /// What clusters of this kind cannot do.
    fn cannot(&self) -> &'static [Ability];

    /// Starts a cluster, and returns when everything answers. Takes a multi-threaded runtime.
    async fn start(&self, setup: Setup) -> Result<Running>;
}

/// What not every kind of cluster can do.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq)]
pub enum Ability {
    #[strum(to_string = "cut the network between two machines")]
    Cut,
    #[strum(to_string = "unplug a machine from the network")]
    Unplug,
    #[strum(to_string = "reach database and Redis through relays")]
    Relays,
    #[strum(to_string = "be reached from several addresses of this machine")]
    SeveralClients,
    #[strum(to_string = "set the clock of a database server")]
    Clocks,
}

/// A cluster to be talked to and broken: a handle, which may be cloned, and dropped without effect.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Another handle, for other threads and runtimes.
    fn handle(&self) -> Arc<dyn Cluster>;

    /// Unique on this machine.
    fn name(&self) -> &str;

    /// The roles of all machines.
    fn machines(&self) -> Vec<String>;

    /// Where clients connect: nginx.
    fn entry(&self) -> SocketAddr;

    /// Where each node listens, past nginx.
    fn node_addresses(&self) -> Vec<SocketAddr>;

    /// Where a node tells its metrics and health, by its place from 0.
    fn admin_address(&self, node: usize) -> SocketAddr;

    /// The database server, for what harms all who use it.
    ///
    /// # Errors
    /// If other clusters use it as well.
    fn own_database(&self) -> Result<SocketAddr>;

    /// The URL of a member of a replicated database, for whoever may do everything there.
    ///
    /// # Errors
    /// If there is no such member.
    fn administration(&self, machine: &str) -> Result<String>;

    fn records(&self) -> &Records;

    /// The rows of a query, each field as text; NULL is empty.
    async fn query(&self, statement: &str) -> Result<Vec<Vec<String>>>;

    /// Ends a machine at once, and returns when it has.
    async fn kill(&self, machine: &str) -> Result<()>;

    /// Starts a machine that is down, and does not wait until it does its work.
    async fn start(&self, machine: &str) -> Result<()>;

    /// Waits until a machine does its work.
    ///
    /// # Errors
    /// If it ends, or does not within its budget.
    async fn ready(&self, machine: &str) -> Result<()>;

    /// Asks a machine to end, and returns its exit code when it has.
    async fn terminate(&self, machine: &str) -> Result<i64>;

    /// Stops a machine in its tracks: connections stay open, and nothing is answered.
    async fn pause(&self, machine: &str) -> Result<()>;

    async fn resume(&self, machine: &str) -> Result<()>;

    /// The preferred member of a replicated database takes no more writes, as before maintenance: its connections stay
    /// open, and whoever writes over them is refused.
    async fn demote(&self) -> Result<()>;

    /// It takes them again.
    async fn promote(&self) -> Result<()>;

    /// A member of a replicated database, which is down, loses all that it kept.
    async fn forget(&self, machine: &str) -> Result<()>;

    /// The clock of a member of a replicated database is so many seconds ahead from here on, or behind.
    async fn set_clock(&self, machine: &str, ahead_s: i64) -> Result<()>;

    /// nginx reads its configuration again.
    async fn reload(&self) -> Result<()>;

    /// Packets of `sender` no longer arrive at `receiver`.
    async fn cut(&self, _sender: &str, _receiver: &str) -> Result<()> {
        bail!("this cluster cannot {}", Ability::Cut)
    }

    /// They arrive again; nothing happens if they do.
    async fn mend(&self, _sender: &str, _receiver: &str) -> Result<()> {
        bail!("this cluster cannot {}", Ability::Cut)
    }

    /// Packets between two machines are lost, both ways.
    async fn cut_both_ways(&self, one: &str, other: &str) -> Result<()> {
        self.cut(one, other).await?;
        self.cut(other, one).await
    }

    /// They pass again; nothing happens if they do.
    async fn mend_both_ways(&self, one: &str, other: &str) -> Result<()> {
        self.mend(one, other).await?;
        self.mend(other, one).await
    }

    /// A machine loses its interface, and with it what it had open.
    async fn unplug(&self, _machine: &str) -> Result<()> {
        bail!("this cluster cannot {}", Ability::Unplug)
    }

    /// The interface is back at the same address.
    async fn plug(&self, _machine: &str) -> Result<()> {
        bail!("this cluster cannot {}", Ability::Unplug)
    }

    /// The link between a node and a database or Redis is bad, until what is returned is released or dropped.
    async fn trouble(&self, one: &str, trouble: Trouble, other: &str) -> Result<Box<dyn Held>>;

    /// Where a node listens, by its place from 0.
    fn node_address(&self, place: usize) -> SocketAddr {
        self.node_addresses()[place]
    }

    /// All nodes' addresses, beginning with this one's: for clients that are to start there.
    fn starting_at(&self, place: usize) -> Vec<SocketAddr> {
        let mut addresses = self.node_addresses();
        addresses.rotate_left(place);
        addresses
    }

    /// Whether its database is one of several members, which nodes may use at the same time.
    fn is_replicated(&self) -> bool {
        self.machines().iter().any(|machine| machine == PREFERRED)
    }

    /// A new history of what happens here; it is kept with the logs where a test fails.
    fn record(&self) -> Arc<Record> {
        self.records().add()
    }

    /// Writes down what the database holds.
    async fn read_rows(&self, record: &Record) -> Result<()> {
        let rows = self.query(rows::QUERY).await?;
        record.rows(rows.iter().map(|row| rows::read(row)).collect::<Result<_>>()?, Vec::new());
        Ok(())
    }

    /// Whether the database is as it must be, where this cluster can look.
    ///
    /// # Errors
    /// If it is damaged.
    async fn verify(&self) -> Result<()> {
        Ok(())
    }

    /// Waits until everything has arrived, and has the checkers judge what was written down.
    ///
    /// # Panics
    /// If something does not arrive within `budget`, or a promise is broken.
    async fn settle(&self, record: &Record, budget: Duration) -> Summary {
        record.everything_arrives(budget).await;
        record.drained();
        self.read_rows(record).await.expect("the database answers");
        self.verify().await.expect("the database is as it must be");
        record.conclude().expect_valid()
    }

    /// The number behind a node's metric; series of one name are added up.
    async fn metric(&self, node: usize, name: &str) -> Result<f64> {
        let text = probe::page(self.admin_address(node), "/metrics").await?;
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name) || series == name).then(|| value.parse::<f64>().ok())?
        });
        Ok(values.sum())
    }

    /// Whether a node's `/readyz` says that something is wrong with this part: `lease`, `bus`, `database` or
    /// `draining`.
    async fn lacks(&self, node: usize, part: &str) -> Result<bool> {
        let readiness: Value = serde_json::from_str(&probe::page(self.admin_address(node), "/readyz").await?)?;
        Ok(!readiness.get(part).with_context(|| format!("{readiness} says nothing of {part}"))?.is_null())
    }
}

/// A cluster that ends when this is dropped.
pub struct Running {
    cluster: Arc<dyn Cluster>,
    _owner: Box<dyn Any + Send + Sync>,
}

impl Running {
    pub(crate) fn new(cluster: Arc<dyn Cluster>, owner: impl Any + Send + Sync) -> Running {
        Running { cluster, _owner: Box::new(owner) }
    }
}

impl Deref for Running {
    type Target = dyn Cluster;

    fn deref(&self) -> &(dyn Cluster + 'static) {
        &*self.cluster
    }
}
