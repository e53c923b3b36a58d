//! The flags with which several processes carry out one plan together.

use crate::plan::{MAX_SHARDS, Plan, Shard, parse_start};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::str::FromStr;

/// Where Kubernetes tells each pod of an Indexed Job which it is, from 0.
const JOB_INDEX: &str = "JOB_COMPLETION_INDEX";

/// Which shard a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    This(Shard),
    /// As the environment says.
    Auto,
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" { Ok(Which::Auto) } else { text.parse().map(Which::This) }
    }
}

/// The flags.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Several processes")]
pub struct ShardFlags {
    /// Do the K-th of N parts of the plan: its share of the users and of the rate; add the results with `loadgen
    /// merge`. auto: the one that JOB_COMPLETION_INDEX says, as in an Indexed Job of Kubernetes, of as many as --shards
    /// says
    #[arg(long, value_name = "K/N|auto")]
    shard: Option<Which>,
    /// How many processes have parts of the plan, with --swarm or --shard auto
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHARDS)))]
    shards: Option<u32>,
    /// Begin measuring at this time, so that all shards do so together: 2030-01-31T15:40:00Z, the local time 15:40:30,
    /// or @SECONDS of Unix time; leave time for logging in [default: as soon as everybody is logged in]
    #[arg(long, value_name = "TIME", value_parser = parse_start)]
    start_at: Option<i64>,
}

impl ShardFlags {
    /// The part of the plan that is this process's.
    pub fn part(&self, mut plan: Plan) -> Result<Plan> {
        plan.start_at_ms = self.start_at.or(plan.start_at_ms);
        match self.given()?.or(plan.shard) {
            None if self.shards.is_some() => bail!("--shards needs --swarm, or --shard auto"),
            None => Ok(plan),
            Some(shard) => part(&plan, shard),
        }
    }

    /// The shard that flags and environment say.
    pub fn given(&self) -> Result<Option<Shard>> {
        match (self.shard, self.shards) {
            (None, _) => Ok(None),
            (Some(Which::This(shard)), Some(count)) if count != shard.count => {
                bail!("--shard {shard} is not one of --shards {count}")
            }
            (Some(Which::This(shard)), _) => Ok(Some(shard)),
            (Some(Which::Auto), None) => bail!("--shard auto needs --shards N: nothing else says how many there are"),
            (Some(Which::Auto), Some(count)) => indexed(std::env::var(JOB_INDEX).ok().as_deref(), count).map(Some),
        }
    }

    /// How many shards there are, as far as flags say.
    pub fn count(&self) -> Result<Option<u32>> {
        Ok(self.given()?.map(|shard| shard.count).or(self.shards))
    }
}

/// The shard of the pod with this index.
fn indexed(index: Option<&str>, count: u32) -> Result<Shard> {
    let index = index.with_context(|| {
        format!("--shard auto: {JOB_INDEX} is not set; Kubernetes sets it in Jobs with completionMode: Indexed")
    })?;
    let number = index.parse::<u32>().ok().filter(|number| *number < count);
    let number = number.with_context(|| {
        format!("--shard auto: {JOB_INDEX} is {index:?}, and with --shards {count} must be below {count}")
    })?;
    Ok(Shard { index: number + 1, count })
}

/// What a shard does of a plan.
pub fn part(plan: &Plan, shard: Shard) -> Result<Plan> {
    if plan.targets.is_empty() {
        bail!("a plan that several processes share needs --target: each would start a cluster of its own");
    }
    // The last has the smallest share.
    if plan.part(Shard { index: shard.count, ..shard }).users < 2 {
        bail!("{} users are too few for {} shards: each needs 2", plan.users, shard.count);
    }
    Ok(plan.part(shard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_the_shard_that_its_index_says() {
        assert_eq!(indexed(Some("0"), 3).expect("the first"), Shard { index: 1, count: 3 });
        assert_eq!(indexed(Some("2"), 3).expect("the last"), Shard { index: 3, count: 3 });
        let wrong = |index| indexed(index, 3).expect_err("refused").to_string();
        assert!(wrong(None).contains("JOB_COMPLETION_INDEX is not set"), "{}", wrong(None));
        for index in ["3", "-1", "", "one"] {
            assert!(
                wrong(Some(index)).ends_with(&format!("is {index:?}, and with --shards 3 must be below 3")),
                "{}",
                wrong(Some(index))
            );
        }
    }

    #[test]
    fn auto_needs_to_know_how_many_there_are() {
        let flags = |shard: Option<&str>, shards| ShardFlags {
            shard: shard.map(|shard| shard.parse().expect("a shard")),
            shards,
            start_at: None,
        };
        assert!(flags(Some("auto"), None).given().is_err());
        assert!(flags(Some("1/2"), Some(3)).given().is_err());
        assert_eq!(flags(Some("1/2"), Some(2)).count().expect("both agree"), Some(2));
        assert_eq!(flags(None, Some(4)).count().expect("how many"), Some(4));
        assert!(flags(None, Some(4)).part(Plan::default()).is_err(), "nobody says which");
    }
}
