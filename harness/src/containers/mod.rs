//! A real cluster in containers: a database, Redis, nginx and nodes, each at an address of its own on a network of its
//! own.
//!
//! [`Cluster::builder`] starts one; it is gone when its value is, or at the latest when this process is: see
//! [`reaper`]. What is broken in it and heals again is in [`fault`](crate::fault).
//!
//! Clients connect to the containers' own addresses: publishing ports would put a relay process between them, and halve
//! what can be measured. So it takes Linux, with the engine on this machine.

pub mod cluster;
pub mod docker;
pub mod evidence;
pub mod images;
pub mod reaper;
pub mod topology;

pub(crate) mod machine;
mod network;
pub(crate) mod parts;
mod probe;
mod shared;

pub use crate::link::Proxy;
pub use crate::story::{Plot, Step, Story, chaos};
pub use cluster::{Builder, Cluster};
pub use parts::Flavour;
pub use shared::shared;
pub use topology::{Entry, Topology, list};
