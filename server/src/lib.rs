//! A cluster chat server: nodes behind a TCP load balancer, messages in a database, Redis between the nodes.
//!
//! [`node::Node::start`] runs a node inside any tokio runtime; [`client`] talks to one. The layers, each importing only
//! what stands below or left of it:
//! `listener → connection → service → session → storage + bus`, beside `protocol` (bytes to typed messages and back).

// In code that tests alone see, as they please.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod bus;
pub use chat_client as client;
pub mod cluster;
pub mod config;
pub mod failpoint;
pub mod limits;
mod networks;
pub mod node;
pub use chat_protocol as protocol;
pub mod shutdown;
pub mod storage;
pub mod tasks;

#[doc(hidden)]
pub mod bench;

pub mod admin;
mod audiences;
mod buckets;
mod catch_up;
mod clock;
mod connection;
mod core;
mod delivery;
mod doubts;
mod ends;
mod inbox;
mod keeper;
mod lanes;
mod lease;
mod listener;
pub mod logging;
mod login_limit;
mod marks;
pub mod metrics;
mod origin;
mod outbound;
mod pace;
pub mod password;
mod proxy_protocol;
mod pulse;
mod recent;
mod registry;
mod relay;
mod routes;
mod seats;
mod service;
mod session;
mod stream;
mod sweep;
mod tidy;
pub mod tls;
mod token;
mod turns;
mod watch;
mod writer;
