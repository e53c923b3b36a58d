//! The flags with which several processes carry out one plan together.

use crate::plan::{Plan, Shard, parse_start};
use anyhow::{Result, bail};
use clap::Args;

/// The flags.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Several processes")]
pub struct ShardFlags {
    /// Do the K-th of N parts of the plan: its share of the users and of the rate; add the results with `loadgen merge`
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    /// Begin measuring at this time, so that all shards do so together: 2030-01-31T15:40:00Z, the local time 15:40:30,
    /// or @SECONDS of Unix time; leave time for logging in [default: as soon as everybody is logged in]
    #[arg(long, value_name = "TIME", value_parser = parse_start)]
    start_at: Option<i64>,
}

impl ShardFlags {
    /// The part of the plan that is this process's.
    pub fn part(&self, mut plan: Plan) -> Result<Plan> {
        plan.start_at_ms = self.start_at.or(plan.start_at_ms);
        let Some(shard) = self.shard.or(plan.shard) else { return Ok(plan) };
        if plan.targets.is_empty() {
            bail!("--shard needs --target: each process would start a cluster of its own");
        }
        let part = plan.part(shard);
        if part.users < 2 {
            bail!("{} users are too few for {} shards: each needs 2", plan.users, shard.count);
        }
        Ok(part)
    }
}
