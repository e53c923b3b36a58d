//! What is to happen in a simulation, as a value: who does what when, and what breaks when. Made from a seed, kept as
//! JSON, lived through as it stands there.
//!
//! What is left out when written has a default, so that schedules that were kept stay readable. Numbers of users are in
//! fields named `user` and `friend`, those of nodes in `node` and `nodes`.

mod breaking;
mod faults;
mod steps;

pub use breaking::Breaking;
use faults::Parts;

use crate::chance::Chance;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use strum::{IntoStaticStr, VariantNames};

/// Steps and faults come within this time from the beginning; then everything heals.
const LENGTH_MS: u64 = 30_000;
/// The first of them: by then everybody is there.
const BEGIN_MS: u64 = 3_000;
/// A database that has lost something is found out by then, and a node that was started is there.
const NOTICED_WITHIN_MS: u64 = 10_000;
/// One schedule in so many has two buses.
const SEVERAL_BUSES_ONCE_IN: u64 = 3;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Of all chance beside what stands here: interleavings, delays, cuts, keys.
    pub seed: u64,
    pub nodes: usize,
    pub users: usize,
    /// How many buses lie between the nodes.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub buses: usize,
    /// What users speak, by number; those beyond speak our own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dialects: Vec<Dialect>,
    pub steps: Vec<Step>,
    pub faults: Vec<Fault>,
}

/// What a schedule from a seed is to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub nodes: usize,
    pub workload: Workload,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { nodes: 3, workload: Workload::Mixed }
    }
}

/// What people mostly do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Write to each other.
    Chat,
    /// Come, go, and take over their own sessions.
    Logins,
    /// Join a group, leave it, and make and end friendships.
    Groups,
    /// Some speak the classic dialects.
    Classic,
    /// Everything.
    Mixed,
}

/// What a user speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    #[default]
    Framed,
    Bare,
    Checked,
}

/// Something that a user does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub at_ms: u64,
    pub user: usize,
    pub what: Doing,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Doing {
    /// Writes to a friend.
    Write {
        friend: usize,
        qos: u8,
    },
    /// Writes to the group of all.
    WriteToGroup {
        qos: u8,
    },
    /// Writes to the club, where people come and go.
    WriteToClub {
        qos: u8,
    },
    /// Sends the last message once more under its mid.
    WriteAgain,
    /// Sends another text under the last message's mid.
    WriteOver,
    /// Claims to be a friend while writing to the group.
    Forge {
        friend: usize,
    },
    Join,
    Leave,
    Befriend {
        friend: usize,
    },
    Unfriend {
        friend: usize,
    },
    /// Reads back the group's log, or looks into the lists.
    Look,
    ChangePassword,
    /// Logs in where the user is not logged in.
    LogIn {
        node: usize,
    },
    /// The same with the token of an earlier login.
    Resume {
        node: usize,
    },
    LogOut,
    /// Ends all tokens as well.
    Revoke,
    /// Logs in, closing a session elsewhere.
    TakeOver {
        node: usize,
    },
    /// Is gone without a word.
    Vanish,
}

/// Something that breaks, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub at_ms: u64,
    pub length_ms: u64,
    pub what: Breaking,
}

impl Doing {
    /// As its form names it.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}

impl Fault {
    pub fn at(&self) -> Duration {
        Duration::from_millis(self.at_ms)
    }

    pub fn length(&self) -> Duration {
        Duration::from_millis(self.length_ms)
    }
}

fn one() -> usize {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(number: &usize) -> bool {
    *number == 1
}

impl Schedule {
    pub fn from_seed(seed: u64, shape: &Shape) -> Schedule {
        let chance = Chance::new(seed, "schedule");
        let (nodes, users) = (shape.nodes.max(1), 3 + chance.below(3) as usize);
        let dialects = steps::dialects(&chance, shape.workload, users);
        let steps = steps::steps(&chance, shape.workload, (nodes, users));
        let buses = if chance.once_in(SEVERAL_BUSES_ONCE_IN) { 2 } else { 1 };
        let faults = faults::faults(&chance, &Parts { nodes, users, buses });
        Schedule { seed, nodes, users, buses, dialects, steps, faults }
    }

    /// Whether this failover loses what it would: only while nothing else keeps nodes from remembering what there was,
    /// and from telling each other. What they do not remember they cannot notice, and nothing is promised then.
    pub fn loses(&self, failover: &Fault) -> bool {
        let noticed_ms = failover.at_ms + failover.length_ms + NOTICED_WITHIN_MS;
        let is_during = |other: &Fault| {
            other.at_ms < noticed_ms && other.at_ms + other.length_ms + NOTICED_WITHIN_MS > failover.at_ms
        };
        let hinders = |other: &&Fault| other.what.makes_forget() && is_during(other);
        !self.faults.iter().any(|other| hinders(&other))
    }

    pub fn dialect(&self, user: usize) -> Dialect {
        self.dialects.get(user).copied().unwrap_or_default()
    }
}

/// Any time at which something may happen.
fn moment(chance: &Chance) -> u64 {
    BEGIN_MS + chance.below(LENGTH_MS - BEGIN_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_is_a_value_that_follows_from_its_seed() {
        let shape = Shape::default();
        let schedule = Schedule::from_seed(42, &shape);
        assert_eq!(schedule, Schedule::from_seed(42, &shape));
        assert_ne!(schedule.steps, Schedule::from_seed(43, &shape).steps);

        let text = serde_json::to_string(&schedule).expect("plain data");
        assert_eq!(serde_json::from_str::<Schedule>(&text).expect("what was just written"), schedule);
    }

    #[test]
    fn what_was_kept_stays_readable() {
        let text = r#"{"seed":7,"nodes":2,"users":3,
            "steps":[{"at_ms":3000,"user":1,"what":{"write":{"friend":0,"qos":1}}},
                     {"at_ms":9,"user":0,"what":"log_out"}],
            "faults":[{"at_ms":5000,"length_ms":900,"what":{"commits":{"before":1,"after":2}}},
                      {"at_ms":6000,"length_ms":0,"what":"cut_bus"},
                      {"at_ms":7000,"length_ms":9,"what":{"stall":{}}}]}"#;
        let schedule: Schedule = serde_json::from_str(text).expect("a schedule");
        assert_eq!(schedule.faults[0].what, Breaking::Commits { before: 1, after: 2, node: None });
        assert_eq!((schedule.dialect(1), schedule.buses), (Dialect::Framed, 1));
    }
}
