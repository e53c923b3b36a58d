//! What the faults of a link between a node and the database or Redis have in common. Unlike with a cut, TCP itself
//! finds nothing wrong.

use super::{Breakage, Lasting};
use crate::cluster::Cluster;
use crate::link::Trouble;
use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use std::sync::Arc;

struct Link {
    one: String,
    other: String,
    trouble: Trouble,
}

/// Trouble on the link between the first two of `words`.
pub(super) fn in_trouble(words: &[&str], trouble: Trouble) -> Arc<dyn Breakage> {
    Arc::new(Link { one: words[0].into(), other: words[1].into(), trouble })
}

/// A number that a link's trouble is measured in: not 0, which would be no trouble, or silence.
pub(super) fn number(text: &str, unit: &str) -> Result<u64> {
    let number = text.parse::<u32>().ok().filter(|number| *number > 0);
    number.map(u64::from).with_context(|| format!("{unit} are a whole number from 1 to {}, not {text:?}", u32::MAX))
}

#[async_trait]
impl Breakage for Link {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        let machines = cluster.machines();
        for machine in [&self.one, &self.other] {
            ensure!(machines.contains(machine), "there is no {machine}, but {}", machines.join(", "));
        }
        cluster.trouble(&self.one, self.trouble, &self.other).await.map(Some)
    }
}
