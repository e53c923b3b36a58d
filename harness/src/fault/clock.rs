//! The clock of a member of a replicated database steps, as by a wrong time server; back again when healed.

use super::{Breakage, Kind, Lasting, chances};
use crate::cluster::{Ability, Cluster};
use anyhow::{Context, Result};
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "clock MACHINE OFFSET",
    effect: "the clock of a member of the database is that much ahead or behind, as in +10s or -10s",
    needs: Some(Ability::Clocks),
    table: &[("clock database-1 +10s", 5), ("clock database-1 -10s", 5)],
    chances: |setup| match setup.has_clocks {
        true => [chances::on_members("clock", setup, "+10s"), chances::on_members("clock", setup, "-10s")].concat(),
        false => Vec::new(),
    },
    read: |words| {
        let ahead_s = words[1].strip_suffix('s').filter(|number| number.starts_with(['+', '-']));
        let ahead_s = ahead_s.and_then(|number| number.parse::<i32>().ok());
        let ahead_s = ahead_s.with_context(|| format!("an offset is like +10s or -10s, not {:?}", words[1]))?;
        Ok(Arc::new(Clock { machine: words[0].into(), ahead_s: ahead_s.into() }))
    },
};

struct Clock {
    machine: String,
    ahead_s: i64,
}

#[async_trait]
impl Breakage for Clock {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        cluster.set_clock(&self.machine, self.ahead_s).await?;
        Ok(None)
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        cluster.set_clock(&self.machine, 0).await
    }
}
