//! What can break. A new fault is a variant here, a line in [`faults`](super::faults) that makes one from a seed, and a
//! question to [`Troubles`](crate::troubles::Troubles) where it strikes.

use crate::bus::Badness;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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
    /// A node's wall clock is off by so much more.
    Clock {
        node: usize,
        by_ms: i64,
    },
    /// A node's wall clock gains so many thousandths, and keeps what it gained.
    Drift {
        node: usize,
        per_mille: i16,
    },
    Bus {
        badness: Badness,
    },
    /// All subscriptions break, once.
    CutBus,
    /// Nothing gets through, and no subscription holds.
    NoBus,
    /// These nodes and the rest do not hear each other.
    SplitBus {
        nodes: Vec<usize>,
    },
    /// What this node says is lost.
    MuteBus {
        node: usize,
    },
    /// Of several buses, all subscriptions to one break, once.
    OneBusCut {
        bus: usize,
    },
    /// Of several buses one is gone.
    OneBusGone {
        bus: usize,
    },
    /// Of several buses one is split: there these nodes and the rest do not hear each other.
    OneBusSplit {
        bus: usize,
        nodes: Vec<usize>,
    },
    /// Of several buses there is one through which this node hears nothing.
    OneBusDeaf {
        bus: usize,
        node: usize,
    },
    /// Of a hundred COMMITs so many fail before they took effect, and so many after: for one node or for all.
    Commits {
        before: u8,
        after: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<usize>,
    },
    /// So many of a hundred statements in transactions end them, to resolve a deadlock.
    Deadlocks {
        percent: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<usize>,
    },
    /// So many of a hundred statements in transactions wait for a lock in vain.
    LockTimeouts {
        percent: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<usize>,
    },
    /// So many of a hundred statements lose their connection.
    LostConnections {
        percent: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<usize>,
    },
    /// Whatever writes is refused.
    ReadOnly {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<usize>,
    },
    /// No statement is answered.
    Stall {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<usize>,
    },
    /// One statement is not answered, and others are.
    StallOne {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<usize>,
    },
    /// A node cannot reach the database.
    CutDatabase {
        node: usize,
    },
    /// What a node reads outside of transactions may be so old: its own server of several lags behind.
    StaleReads {
        node: usize,
        lag_ms: u64,
    },
    /// The database's server fails, and in the end another takes its place, which has all that was committed.
    Failover,
    /// The same, and the other has nothing of what was committed in the last so many milliseconds. Where something else
    /// is broken that keeps nodes from noticing (see [`Schedule::loses`](super::Schedule::loses)), nothing is lost.
    LossyFailover {
        lost_ms: u64,
    },
    /// A user's connections are reset, once.
    Reset {
        user: usize,
    },
    /// Nothing arrives on a user's connections.
    Silence {
        user: usize,
    },
    /// What a user sends does not arrive.
    Mute {
        user: usize,
    },
    /// What a user is sent does not arrive, and little of it finds room on the way.
    Deaf {
        user: usize,
    },
    /// Everything takes long.
    Slow {
        user: usize,
    },
    /// So many of a hundred pieces break the connection.
    Losing {
        user: usize,
        percent: u8,
    },
    /// A user's connections are lost, and no node is told.
    HalfOpen {
        user: usize,
    },
}

/// How the words for a fault of the bus begin.
const BUS: &str = "redis ";

impl Breaking {
    /// For the history; what a fault is one of is named as the judge knows it.
    pub fn in_words(&self) -> String {
        let of = match self {
            Breaking::Bus { .. }
            | Breaking::CutBus
            | Breaking::NoBus
            | Breaking::SplitBus { .. }
            | Breaking::MuteBus { .. }
            | Breaking::OneBusCut { .. }
            | Breaking::OneBusGone { .. }
            | Breaking::OneBusSplit { .. }
            | Breaking::OneBusDeaf { .. } => BUS,
            Breaking::Commits { .. }
            | Breaking::Deadlocks { .. }
            | Breaking::LockTimeouts { .. }
            | Breaking::LostConnections { .. }
            | Breaking::ReadOnly { .. }
            | Breaking::Stall { .. }
            | Breaking::StallOne { .. }
            | Breaking::CutDatabase { .. }
            | Breaking::StaleReads { .. }
            | Breaking::Failover
            | Breaking::LossyFailover { .. } => "database ",
            _ => "",
        };
        format!("{of}{self:?}")
    }

    /// Whether it takes several buses.
    pub fn is_of_one_bus(&self) -> bool {
        use Breaking::{OneBusCut, OneBusDeaf, OneBusGone, OneBusSplit};
        matches!(self, OneBusCut { .. } | OneBusGone { .. } | OneBusSplit { .. } | OneBusDeaf { .. })
    }

    /// Whether nodes forget by it what was in the database, or do not tell each other.
    pub(super) fn makes_forget(&self) -> bool {
        let stops = matches!(self, Breaking::Crash { .. } | Breaking::Drain { .. } | Breaking::Pause { .. });
        stops || self.in_words().starts_with(BUS)
    }

    /// As its form names it.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}
