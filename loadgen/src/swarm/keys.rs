//! What a swarm's things are called in Redis, and how long they stay there when nobody needs them any more.

use std::time::Duration;

/// The list of who takes part is forgotten so soon after its last member was heard, so that a run that died is in
/// nobody's way.
pub const LOBBY_KEPT: Duration = Duration::from_secs(10);
/// Rows and results are forgotten so long after whose they are was heard last: time for the others to fetch them.
pub const KEPT: Duration = Duration::from_secs(120);

/// A time to live, as Redis takes it.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The names. Braces keep all that belongs to one name in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    prefix: String,
    run: String,
}

impl Keys {
    /// Of the run with this number in the swarm of this name.
    pub fn new(name: &str, run: &str) -> Keys {
        Keys { prefix: format!("loadgen:{{{name}}}"), run: run.to_owned() }
    }

    pub fn run(&self) -> &str {
        &self.run
    }

    /// Who takes part: the one key that runs under the same name have in common.
    pub fn lobby(&self) -> String {
        format!("{}:lobby", self.prefix)
    }

    /// A hash: how each shard does.
    pub fn rows(&self) -> String {
        format!("{}:{}:rows", self.prefix, self.run)
    }

    /// When measuring begins, in milliseconds since the Unix epoch by Redis' clock.
    pub fn start(&self) -> String {
        format!("{}:{}:start", self.prefix, self.run)
    }

    /// A piece of a shard's result.
    pub fn piece(&self, shard: u32, piece: usize) -> String {
        format!("{}:{}:result:{shard}:{piece}", self.prefix, self.run)
    }
}
