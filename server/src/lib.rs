//! A cluster chat server: nodes behind a TCP load balancer, messages in a database, Redis between the nodes.
//!
//! [`node::Node::start`] runs a node inside any tokio runtime. The rooms, each importing only what stands further down:
//! `node`; `admin`; `net`, `connection`, `service`; `delivery`, `session`, `retention`, `membership`; `auth`,
//! `storage`, `bus`. `context` holds the parts of a node for those above it.

// What only tests see may ask the operating system for what it likes.
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod node;

pub mod admin;

mod context;

mod connection;
pub mod net;
mod service;

mod delivery;
mod membership;
mod retention;
mod session;

pub mod auth;
pub mod bus;
pub mod storage;

pub mod telemetry;

pub mod cluster;
pub mod config;
pub mod failpoint;
pub mod shutdown;
pub mod tls;

#[doc(hidden)]
pub mod bench;
