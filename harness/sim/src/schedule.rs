//! What is to happen in a simulation, as a value: who does what when, and what breaks when. Made from a seed, kept as
//! JSON, lived through as it stands there.

use crate::bus::Badness;
use crate::chance::Chance;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Steps and faults come within this time from the beginning; then everything heals.
const LENGTH_MS: u64 = 30_000;
/// The first of them: by then everybody is there.
const BEGIN_MS: u64 = 3_000;
const MESSAGES: u64 = 300;
const MOVES: u64 = 36;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Of all chance beside what stands here: interleavings, delays, cuts, keys.
    pub seed: u64,
    pub nodes: usize,
    pub users: usize,
    pub steps: Vec<Step>,
    pub faults: Vec<Fault>,
}

/// Something that a user does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub at_ms: u64,
    pub user: usize,
    pub what: Doing,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Sends the last message once more under its mid.
    WriteAgain,
    /// Logs in where the user is not logged in.
    LogIn {
        node: usize,
    },
    LogOut,
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breaking {
    /// A node dies, and is started again in the end.
    Crash {
        node: usize,
    },
    /// A node stands still.
    Pause {
        node: usize,
    },
    /// A node drains, and is started again in the end.
    Drain {
        node: usize,
    },
    Bus {
        badness: Badness,
    },
    /// All subscriptions break, once.
    CutBus,
    /// Of a hundred COMMITs so many fail before they took effect, and so many after.
    Commits {
        before: u8,
        after: u8,
    },
    Stall,
    /// A user's connections are reset, once.
    Reset {
        user: usize,
    },
    /// Nothing arrives on a user's connections.
    Silence {
        user: usize,
    },
}

impl Fault {
    pub fn at(&self) -> Duration {
        Duration::from_millis(self.at_ms)
    }

    pub fn length(&self) -> Duration {
        Duration::from_millis(self.length_ms)
    }
}

impl Schedule {
    pub fn from_seed(seed: u64) -> Schedule {
        let chance = Chance::new(seed, "schedule");
        let (nodes, users) = (2 + chance.below(2) as usize, 3 + chance.below(3) as usize);
        let mut steps: Vec<Step> = (0..MESSAGES).map(|_| message(&chance, users)).collect();
        steps.extend((0..MOVES).map(|_| step_of(&chance, users, |chance| moving(chance, nodes))));
        steps.sort_by_key(|step| step.at_ms);
        let count = 5 + chance.below(8);
        let mut faults: Vec<Fault> = (0..count).map(|_| fault(&chance, nodes, users)).collect();
        faults.sort_by_key(|fault| fault.at_ms);
        Schedule { seed, nodes, users, steps, faults }
    }
}

fn step_of(chance: &Chance, users: usize, what: impl Fn(&Chance) -> Doing) -> Step {
    let at_ms = BEGIN_MS + chance.below(LENGTH_MS - BEGIN_MS);
    Step { at_ms, user: chance.below(users as u64) as usize, what: what(chance) }
}

fn message(chance: &Chance, users: usize) -> Step {
    let mut step = step_of(chance, users, |_| Doing::WriteAgain);
    let qos = u8::from(!chance.once_in(6));
    step.what = match chance.below(10) {
        0 => Doing::WriteAgain,
        1..=4 => Doing::WriteToGroup { qos },
        _ => {
            let friend = (step.user + 1 + chance.below(users as u64 - 1) as usize) % users;
            Doing::Write { friend, qos }
        }
    };
    step
}

fn moving(chance: &Chance, nodes: usize) -> Doing {
    let node = chance.below(nodes as u64) as usize;
    // Most of the time everybody is there.
    match chance.below(12) {
        0..=5 => Doing::LogIn { node },
        6..=7 => Doing::LogOut,
        8..=10 => Doing::TakeOver { node },
        _ => Doing::Vanish,
    }
}

fn fault(chance: &Chance, nodes: usize, users: usize) -> Fault {
    let at_ms = BEGIN_MS + chance.below(LENGTH_MS - BEGIN_MS);
    let (node, user) = (chance.below(nodes as u64) as usize, chance.below(users as u64) as usize);
    let up_to = |ms: u64| 50 + chance.below(ms);
    let (what, length_ms) = match chance.below(11) {
        0..=1 => (Breaking::Crash { node }, up_to(6_000)),
        // Half of them past the lease.
        2..=3 => (Breaking::Pause { node }, up_to(14_000)),
        4 => (Breaking::Drain { node }, up_to(6_000)),
        5 => {
            let one = || chance.below(60) as u8;
            (Breaking::Bus { badness: Badness { lost: one(), repeated: one(), delayed: one() } }, up_to(10_000))
        }
        6 => (Breaking::CutBus, 0),
        7 => (Breaking::Commits { before: chance.below(40) as u8, after: chance.below(40) as u8 }, up_to(5_000)),
        8 => (Breaking::Stall, up_to(8_000)),
        9 => (Breaking::Reset { user }, 0),
        _ => (Breaking::Silence { user }, up_to(10_000)),
    };
    Fault { at_ms, length_ms, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_is_a_value_that_follows_from_its_seed() {
        let schedule = Schedule::from_seed(42);
        assert_eq!(schedule, Schedule::from_seed(42));
        assert_ne!(schedule.steps, Schedule::from_seed(43).steps);

        let text = serde_json::to_string(&schedule).expect("plain data");
        assert_eq!(serde_json::from_str::<Schedule>(&text).expect("what was just written"), schedule);
    }
}
