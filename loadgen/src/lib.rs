//! A load generator for clustered chat servers: thousands of users, every message verified.
//!
//! A [`plan`] says what is to be done; a [`world`] of users, friends and groups is laid out from it ([`scenario`]). A
//! [`run`] carries it out: a [`driver`] sends when messages are due, [`user`]s receive, in one of many [`dialect`]s.
//! What is [`measure`]d comes to an outcome; [`analyse`] makes more of outcomes, and a [`report`] tells them; a
//! [`live`] page shows a run as it happens, and steers it; processes on many machines carry one out as a [`swarm`].
//! What an unknown server speaks, a [`probe`] finds out.
//!
//! Invariants: latency counts from when a message was due, never from when it was sent; each message is accounted for
//! exactly; nothing received is never valid. Each room knows only those below it.

pub mod cli;

pub mod live;
pub mod swarm;

pub mod report;

pub mod analyse;
pub mod run;

pub mod driver;
pub mod probe;
pub mod user;

pub mod cluster;
pub mod measure;

pub mod plan;

pub mod dialect;
pub mod link;
pub mod scenario;
pub mod world;
