//! Many machines, one run: processes that carry out the shards of one plan meet in Redis.
//!
//! Each takes a shard that no other has, and makes sure that all carry out the same plan (`lobby`, `terms`). When
//! all are logged in they begin at one moment by Redis' clock (`gate`, `clock`). Once a second each tells how it
//! goes and hears how the others do (`heartbeat`, `row`); whoever is not heard any more is dead (`pulse`). In the
//! end each hands in its result and adds up those of all (`exchange`, `parcel`), exactly as `loadgen merge` does.
//!
//! Redis is a meeting place and no more: no message of the load goes through it, and once measuring has begun a run
//! goes on without it. Everything there belongs to one run, by a number of its own, and expires by itself. What comes
//! from Redis is somebody else's input: what cannot be read counts as not there.

mod clock;
mod exchange;
mod gate;
mod heartbeat;
mod keys;
mod lobby;
mod member;
mod parcel;
mod progress;
mod pulse;
mod row;
mod state;
mod store;
mod terms;

pub use exchange::Collected;
pub use lobby::{Meeting, Place};
pub use member::Member;
pub use store::Store;
pub use terms::Terms;

/// Members of a swarm: each hears all others, so what goes through Redis grows with their square.
pub const MAX_MEMBERS: u32 = 100;

/// Why a process has no part in a swarm. Stop, and show the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("--swarm: {reason}; write redis://HOST[:PORT][/DB]")]
    Url { reason: String },
    #[error("redis at {address} cannot be used: {reason}")]
    Unreachable { address: String, reason: String },
    #[error(
        "swarm {name} carries out another plan: {difference}; give every member the same arguments, or this one a \
         --swarm-name of its own"
    )]
    Terms { name: String, difference: String },
    #[error("too late: swarm {name} has begun with {members}; wait for its end, or give another --swarm-name")]
    Late { name: String, members: String },
    #[error("shard {shard} of swarm {name} is taken by {holder}")]
    Taken { name: String, shard: u32, holder: String },
    #[error(
        "only {present} of {count} members of swarm {name} came within {seconds} s; the others need the same \
         --swarm-name, or the same targets, and the same Redis; --swarm-wait allows more time"
    )]
    Alone { name: String, present: u32, count: u32, seconds: u64 },
    #[error("interrupted while waiting for the other members")]
    Interrupted,
    #[error("cannot start a thread for the swarm: {reason}")]
    Thread { reason: String },
}
