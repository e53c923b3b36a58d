//! What can be broken in a running cluster, one file a fault.
//!
//! A [`Fault`] is a value: it can be written down, read back, and inflicted. That gives an [`Active`], which heals when
//! told to or, at the latest, when dropped; so a test that fails leaves a shared cluster as it found it.

mod cut;
mod exhaust;
mod isolate;
mod kill;
mod link;
mod pause;
mod reload;
mod restart;
mod rolling_restart;
mod terminate;
mod text;

use crate::containers::cluster::in_own_runtime;
use crate::containers::{Topology, docker};
use anyhow::{Context, Result};
use futures_util::future::BoxFuture;

pub use crate::link::proxy::Trouble;
pub use cut::Direction;
pub use text::help;

/// One thing that goes wrong. Machines are named by their role: `node-1`, `redis`, `database`, `nginx`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Ends at once, as in a power failure; heals by starting again. Redis then comes back empty.
    Kill(String),
    /// Is asked to end, and given the time for it; heals by starting again.
    Terminate(String),
    /// Stands still with its connections open.
    Pause(String),
    /// Ends at once and starts again; nothing is left to heal.
    Restart(String),
    /// Every node in turn is asked to end, and started again; nothing is left to heal.
    RollingRestart,
    /// Packets from one to the other are lost; or both ways.
    Cut { one: String, direction: Direction, other: String },
    /// Its network cable is out: it has no network at all.
    Isolate(String),
    /// The link between a node and `database` or `redis` is in trouble, in a cluster with relays
    /// ([`Builder::proxied`](crate::containers::Builder::proxied)).
    Link { one: String, trouble: Trouble, other: String },
    /// The database has no connection left.
    Exhaust,
    /// nginx reads its configuration again; nothing is left to heal.
    Reload,
}

type Heal = Box<dyn FnOnce(Topology) -> BoxFuture<'static, Result<()>> + Send>;

/// A fault that is there until healed, by [`Active::heal`] or a drop.
#[must_use = "a fault heals when dropped"]
pub struct Active {
    fault: Fault,
    topology: Topology,
    heal: Option<Heal>,
}

impl Fault {
    /// Makes it happen; returns when it has.
    ///
    /// # Errors
    /// If there is no such machine, or this machine lacks what it takes.
    pub async fn inflict(self, topology: &Topology) -> Result<Active> {
        let heal = match &self {
            Fault::Kill(role) => kill::inflict(topology, role).await.map(Some),
            Fault::Terminate(role) => terminate::inflict(topology, role).await.map(Some),
            Fault::Pause(role) => pause::inflict(topology, role).await.map(Some),
            Fault::Cut { one, direction, other } => cut::inflict(topology, one, *direction, other).await.map(Some),
            Fault::Isolate(role) => isolate::inflict(topology, role).await.map(Some),
            Fault::Link { one, other, .. } => link::inflict(topology, &self, one, other).await.map(Some),
            Fault::Exhaust => exhaust::inflict(topology).await.map(Some),
            Fault::Restart(role) => restart::inflict(topology, role).await.map(|()| None),
            Fault::RollingRestart => rolling_restart::inflict(topology).await.map(|()| None),
            Fault::Reload => reload::inflict(topology).await.map(|()| None),
        };
        let heal = heal.with_context(|| format!("cannot inflict {self}"))?;
        Ok(Active { fault: self, topology: topology.clone(), heal })
    }

    /// Whether it takes a cluster whose nodes reach the database and Redis through relays.
    pub fn takes_relays(&self) -> bool {
        matches!(self, Fault::Link { .. })
    }

    /// A cut of both ways between two machines.
    pub fn cut(one: &str, other: &str) -> Fault {
        Fault::Cut { one: one.into(), direction: Direction::Both, other: other.into() }
    }

    /// Trouble on the link between a node and `database` or `redis`.
    pub fn link(one: &str, trouble: Trouble, other: &str) -> Fault {
        Fault::Link { one: one.into(), trouble, other: other.into() }
    }
}

impl Active {
    /// Ends the fault; returns when what was broken does its work again.
    ///
    /// # Errors
    /// If it does not.
    pub async fn heal(mut self) -> Result<()> {
        let Some(heal) = self.heal.take() else { return Ok(()) };
        heal(self.topology.clone()).await.with_context(|| format!("cannot heal {}", self.fault))
    }

    /// Leaves it broken: for the last fault of a story, whose cluster ends with it.
    pub fn leave(mut self) {
        // Some faults are there only as long as what heals them.
        std::mem::forget(self.heal.take());
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let Some(heal) = self.heal.take() else { return };
        let topology = self.topology.clone();
        let healed = in_own_runtime(async move {
            let docker = docker::connect().await?;
            heal(topology.through(&docker)).await
        });
        if let Err(error) = healed {
            eprintln!("harness: cannot heal {}: {error:#}", self.fault);
        }
    }
}
