//! A load generator for clustered chat servers: thousands of users, every message verified.
//!
//! A [`plan`] says what is to be done; a [`world`] of users, friends and groups is laid out from it ([`scenario`]); a
//! [`driver`] sends when messages are due; [`user`]s receive. Latencies go to the [`recorder`], every message through
//! the [`ledger`], and, where asked for, every event into a [`history`](judge::history). What comes of it is an [`outcome`], told by a
//! [`report`]; [`judge`] judges a history by the contract's promises. What an unknown server speaks, a [`probe`] finds
//! out.
//!
//! Invariants: latency counts from when a message was due, never from when it was sent; each message is accounted for
//! exactly; nothing received is never valid.

pub mod cli;

pub mod assert;
pub mod capacity;
pub mod compare;
pub mod machine;
pub mod merge;
pub mod outcome;
pub mod plan;
pub mod report;
pub mod shard;

pub mod driver;
pub mod run;
pub mod scenario;
mod setup;
pub mod user;
pub mod world;

pub mod accounts;
pub mod cluster;
pub mod dialect;
mod files;
pub mod link;
pub mod probe;
pub mod profile;
pub mod progress;

pub mod ledger;
pub mod recorder;
pub mod stamp;
mod window;
