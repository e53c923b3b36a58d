//! What breaks when, in a story.

use super::Record;
use crate::cluster::Cluster;
use crate::fault::{Active, Fault};
use anyhow::Result;
use futures_util::future::try_join_all;
use judge::history::Event;
use std::fmt;
use std::time::Duration;

/// Faults at the same time, after a while in which all is well.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub pause: Duration,
    pub faults: Vec<Fault>,
    pub lasting: Duration,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        let faults = if faults.is_empty() { "nothing".into() } else { faults.join(" and ") };
        write!(f, "after {:.1?} {faults} for {:.1?}", self.pause, self.lasting)
    }
}

/// Faults that are there, and written down. They heal, unwritten, when dropped.
#[derive(Default)]
pub(super) struct Troubles(Vec<(String, Active)>);

impl Troubles {
    /// Goes through a step up to the end of its time; the faults are still there then.
    pub async fn go_through(cluster: &dyn Cluster, record: &Record, step: &Step) -> Result<Troubles> {
        tokio::time::sleep(step.pause).await;
        let mut troubles = Troubles::default();
        for fault in &step.faults {
            let what = fault.to_string();
            record.note(Event::Fault { what: what.clone(), healed: false });
            troubles.0.push((what, fault.inflict(cluster).await?));
        }
        tokio::time::sleep(step.lasting).await;
        Ok(troubles)
    }

    /// All at the same time: what one broke may be ready only when another is healed as well.
    pub async fn heal(self, record: &Record) -> Result<()> {
        let heal = async |(what, active): (String, Active)| {
            active.heal().await?;
            record.note(Event::Fault { what, healed: true });
            Ok(())
        };
        try_join_all(self.0.into_iter().map(heal)).await.map(|_| ())
    }
}
