//! What users do, one file a scenario.
//!
//! Each lays out its part of the world (who is whose friend, who writes to whom) and, where its users do more than read
//! and write, makes them come and go while the run is on. A new scenario is its file and its line in the table below.

pub use login_storm::storm;

use crate::world::World;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::ops::Range;
use std::time::Duration;
use tokio::time::Instant;

/// What a scenario is.
trait Scenario {
    /// Adds the part of `users` to the world; returns those who do more than read and write: its actors.
    fn lay_out(users: Range<u32>, sizes: Sizes, world: &mut World) -> Vec<u32>;

    /// Makes the actors come and go until the run stops; then all are there again, or on their way.
    fn act(_actors: &[u32], _control: &impl Control) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// How many friends and members there are, where a scenario has any.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Friends whom each user writes to.
    pub friends: u32,
    /// Members of a group, and those of them who also send.
    pub group: u32,
    pub group_senders: u32,
}

/// What a scenario can make its users do.
pub trait Control: Sync {
    /// Logs the user in, now or as soon as may be.
    fn come(&self, user: u32);
    /// Logs the user out.
    fn leave(&self, user: u32);
    /// Drops the user's connection as it stands; the user comes back by itself.
    fn break_off(&self, user: u32);
    /// Stops reading, or goes on.
    fn pause(&self, user: u32, paused: bool);
    /// How long users are away, or from one storm to the next.
    fn away(&self) -> Duration;
    /// Chance that is the same in every run of the plan.
    fn random(&self) -> fastrand::Rng;
    fn is_stopping(&self) -> bool;
    /// Waits until then; false if the run stops before.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = bool> + Send;
}

macro_rules! scenarios {
    ($($name:ident $file:ident $share:literal $help:literal)*) => {
        $(mod $file;)*

        /// The scenarios by name.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum,
        )]
        #[serde(rename_all = "snake_case")]
        #[value(rename_all = "snake_case")]
        pub enum Kind {
            $(#[doc = $help] $name,)*
        }

        impl Kind {
            /// The name in plans and on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$name => stringify!($file),)* }
            }

            /// What `loadgen` runs where nothing is asked for.
            pub fn default_mix() -> BTreeMap<Kind, f64> {
                [$((Kind::$name, $share)),*].into_iter().filter(|(_, share)| *share > 0.0).collect()
            }

            /// Adds the scenario's part to the world; returns its actors.
            pub fn lay_out(self, users: Range<u32>, sizes: Sizes, world: &mut World) -> Vec<u32> {
                match self { $(Kind::$name => $file::$name::lay_out(users, sizes, world),)* }
            }

            /// Makes the actors come and go until the run stops.
            pub async fn act(self, actors: &[u32], control: &impl Control) {
                match self { $(Kind::$name => $file::$name::act(actors, control).await,)* }
            }
        }
    };
}

// Name, file (and name for people), share of the default mix in per cent, and what it is.
scenarios! {
    FriendChat friend_chat 60.0 "Pairs of friends write to each other; half of the pairs on one node, half across two."
    GroupChat group_chat 20.0 "Groups in which some members write and all read."
    Offline offline 15.0 "Friends write to users who keep leaving and coming back."
    LoginStorm login_storm 5.0 "Users log out and in, all within a moment."
    ReconnectStorm reconnect_storm 0.0 "Users lose their connections all at once, and come back."
    Idle idle 0.0 "Users who are only there."
    SlowReader slow_reader 0.0 "Friends write to users who read slowly."
    Mixed mixed 0.0 "Users with friends and a group, half of whom come and go."
}
