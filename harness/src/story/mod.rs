//! The stories that every fault is put through: people chat across all nodes, something breaks, it heals, and every
//! promise of the contract was kept.
//!
//! Each story is a [`Plot`] with a cast of users in circles of friends. They write down all that they do and see; in
//! the end the database's rows are added, and the checkers judge the whole.

pub mod chaos;

mod cast;
mod forger;
mod presence;
mod readers;
mod roamers;
mod short_logs;
mod steps;
mod watcher;

use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::users::{Conclusion, Record, Summary};
use anyhow::{Context, Result};
use cast::Cast;
use judge::recovery;
use services::within;
pub use short_logs::ShortLogs;
use std::str::FromStr;
use std::time::Duration;
pub use steps::Step;
use steps::Troubles;
use strum::{Display, IntoStaticStr, VariantArray};
use watcher::Nobody;
pub use watcher::{Part, Watcher};

/// For the first acknowledgements, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// The longest way back after a fault.
const RECOVERED: Duration = recovery::BOUND;
/// Messages that must pass before a fault, and after it, so that there is something to lose.
const ENOUGH: usize = 100;

/// What the people of a story do.
#[derive(Clone, Copy, Debug, Display, IntoStaticStr, PartialEq, Eq, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Plot {
    /// All write to their friends and to their group.
    Chat,
    /// Some leave again and again and come back on another node, while the others write to them.
    Offline,
    /// Some log in elsewhere again and again, which closes the session they had; both old and new client go on writing.
    Logins,
}

impl Plot {
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl FromStr for Plot {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Plot::VARIANTS.iter().find(|plot| plot.name() == name);
        let names: Vec<&str> = Plot::VARIANTS.iter().map(|plot| plot.name()).collect();
        found.copied().with_context(|| format!("there is no story {name:?}, but {}", names.join(", ")))
    }
}

/// A story to be told.
pub struct Story<'a> {
    cluster: &'a dyn Cluster,
    plot: Plot,
    users: usize,
    lasting: Duration,
    stays_broken: bool,
    patience: Duration,
    watcher: &'a dyn Watcher,
    has_short_logs: bool,
}

impl<'a> Story<'a> {
    /// People chat: fifty users, and a fault of five seconds.
    pub fn on(cluster: &'a dyn Cluster) -> Self {
        Story {
            cluster,
            plot: Plot::Chat,
            users: 50,
            lasting: Duration::from_secs(5),
            stays_broken: false,
            patience: RECOVERED,
            watcher: &Nobody,
            has_short_logs: false,
        }
    }

    pub fn of(mut self, plot: Plot) -> Self {
        self.plot = plot;
        self
    }

    /// How many take part: in circles of five friends, each with a group.
    pub fn users(mut self, count: usize) -> Self {
        self.users = count;
        self
    }

    /// How long the fault lasts until it is healed.
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.lasting = duration;
        self
    }

    /// The fault is healed only when everything has arrived.
    pub fn staying_broken(mut self) -> Self {
        self.stays_broken = true;
        self
    }

    /// How long to wait in the end for what has not arrived; a minute if not said.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Somebody looks on.
    pub fn watched_by(mut self, watcher: &'a dyn Watcher) -> Self {
        self.watcher = watcher;
        self
    }

    /// Messages are removed while some read, and some are away until the end; then logs are short. Takes a cluster with
    /// [`Setup::short_logs`](crate::cluster::Setup::short_logs).
    pub fn with_short_logs(mut self) -> Self {
        self.has_short_logs = true;
        self
    }

    /// Tells it with a fault, as that is written.
    ///
    /// # Panics
    /// If a promise is broken, the chat does not go on after the fault, or the fault can be neither inflicted nor
    /// healed.
    pub async fn nothing_is_lost_through(self, fault: &str) -> Summary {
        let told = async { self.tell(&[fault.parse()?]).await };
        told.await.unwrap_or_else(|error| panic!("the story has no end: {error:#}")).expect_valid()
    }

    /// Tells it, with faults at the same time or without any, and judges what happened.
    ///
    /// # Errors
    /// If it comes to no end: a step does not happen in its time, or the fault can be neither inflicted nor healed.
    pub async fn tell(self, faults: &[Fault]) -> Result<Conclusion> {
        let step = Step { pause: Duration::ZERO, faults: faults.to_vec(), lasting: self.lasting };
        self.tell_steps(&[step]).await
    }

    /// Tells it with one step after the other.
    ///
    /// # Errors
    /// As for [`Story::tell`].
    pub async fn tell_steps(self, steps: &[Step]) -> Result<Conclusion> {
        let record = self.cluster.record();
        self.watcher.begins(&record);
        let short_logs = if self.has_short_logs { Some(ShortLogs::begin(self.cluster, &record).await?) } else { None };
        let mut cast = Cast::gather(self.cluster, &record, self.users, self.plot, self.has_short_logs).await?;
        cast.begin();
        more_is_acknowledged(&record, SOON).await?;
        if let Some(logs) = &short_logs {
            cast.begin_to_read();
            logs.get_shorter().await?;
        }
        let mut last = Troubles::default();
        for (place, step) in steps.iter().enumerate() {
            std::mem::take(&mut last).heal(&record).await?;
            // Asked last: it may have been enough while faults healed.
            if !self.watcher.wants(place) {
                break;
            }
            last = Troubles::go_through(self.cluster, &record, step).await?;
        }
        self.watcher.comes_to(Part::Recovery);
        if !self.stays_broken {
            std::mem::take(&mut last).heal(&record).await?;
        }
        more_is_acknowledged(&record, RECOVERED).await?;
        if let Some(logs) = &short_logs {
            logs.get_shorter().await?;
        }
        cast.stop().await?;
        self.watcher.comes_to(Part::Arrivals);
        record.everything_arrives(self.patience).await;
        record.drained();
        last.heal(&record).await?;
        let left = match &short_logs {
            Some(logs) => what_is_left_is_read(logs, &mut cast).await,
            None => Ok(()),
        };
        self.watcher.comes_to(Part::Judgement);
        presence::everybody_looks(&record, cast.into_circles()).await?;
        match &short_logs {
            Some(logs) => logs.read_rows(&record).await?,
            None => self.cluster.read_rows(&record).await?,
        }
        self.cluster.verify().await?;
        record.conclude().provided(left)
    }
}

/// Logs are short in the end, and everybody reads them. Where somebody never gets a message, they stay long.
async fn what_is_left_is_read(logs: &ShortLogs<'_>, cast: &mut Cast) -> Result<()> {
    let are_short = logs.are_short().await;
    are_short.and(cast.read().await)
}

async fn more_is_acknowledged(record: &Record, budget: Duration) -> Result<()> {
    let goal = record.acked() + ENOUGH;
    within(budget, "the chat goes on", async || (record.acked() >= goal).then_some(())).await
}
