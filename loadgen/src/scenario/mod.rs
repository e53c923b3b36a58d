//! What users do: one file per scenario.
//!
//! Each lays out its part of the world (who is whose friend, who writes to whom) and, where it does more than receive
//! and answer, has a task that makes its users come and go.

mod friend_chat;
mod group_chat;
mod idle;
mod login_storm;
mod mixed;
mod offline;
mod reconnect_storm;
mod slow_reader;

use crate::plan::Plan;
use crate::run::Run;
use crate::world::World;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The scenarios by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// Pairs of friends write to each other; half of the pairs on one node, half across two.
    FriendChat,
    /// Groups in which some members write and all read.
    GroupChat,
    /// Friends write to users who keep leaving and coming back.
    Offline,
    /// Users log out and in, all within a moment.
    LoginStorm,
    /// Users lose their connections all at once, and come back.
    ReconnectStorm,
    /// Users who are only there.
    Idle,
    /// Friends write to users who read slowly.
    SlowReader,
    /// Users with friends and a group, half of whom come and go.
    Mixed,
}

impl Kind {
    /// The name in plans and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::FriendChat => "friend_chat",
            Kind::GroupChat => "group_chat",
            Kind::Offline => "offline",
            Kind::LoginStorm => "login_storm",
            Kind::ReconnectStorm => "reconnect_storm",
            Kind::Idle => "idle",
            Kind::SlowReader => "slow_reader",
            Kind::Mixed => "mixed",
        }
    }

    /// What `loadgen` runs where nothing is asked for.
    pub fn default_mix() -> BTreeMap<Kind, f64> {
        BTreeMap::from([
            (Kind::FriendChat, 60.0),
            (Kind::GroupChat, 20.0),
            (Kind::Offline, 15.0),
            (Kind::LoginStorm, 5.0),
        ])
    }
}

/// Adds a scenario's part to the world; returns those of its users who do more than read and write.
pub fn lay_out(kind: Kind, users: Range<u32>, plan: &Plan, world: &mut World) -> Vec<u32> {
    match kind {
        Kind::FriendChat => friend_chat::lay_out(users, plan, world),
        Kind::GroupChat => group_chat::lay_out(users, plan, world),
        Kind::Offline => offline::lay_out(users, world),
        Kind::LoginStorm => login_storm::lay_out(users),
        Kind::ReconnectStorm => reconnect_storm::lay_out(users, plan, world),
        Kind::Idle => idle::lay_out(users),
        Kind::SlowReader => slow_reader::lay_out(users, world),
        Kind::Mixed => mixed::lay_out(users, plan, world),
    }
}

/// Lets a scenario's users come and go until the run stops; then all are there again, or on their way.
pub async fn act(kind: Kind, actors: Vec<u32>, run: Arc<Run>) {
    match kind {
        Kind::FriendChat | Kind::GroupChat | Kind::Idle => {}
        Kind::Offline | Kind::Mixed => offline::act(&actors, &run).await,
        Kind::LoginStorm => login_storm::act(&actors, &run).await,
        Kind::ReconnectStorm => reconnect_storm::act(&actors, &run).await,
        Kind::SlowReader => slow_reader::act(&actors, &run).await,
    }
}
