//! A real cluster in containers: a database, Redis, nginx and nodes, each at an address of its own on a network of its
//! own.
//!
//! [`Cluster::builder`] starts one; it is gone when its value is, or at the latest when this process is: see
//! [`reaper`]. What is broken in it and heals again is in [`fault`].
//!
//! Clients connect to the containers' own addresses: publishing ports would put a relay process between them, and halve
//! what can be measured. So it takes Linux, with the engine on this machine.

pub mod chaos;
pub mod cluster;
pub mod docker;
pub mod evidence;
pub mod fault;
pub mod proxy;
pub mod reaper;
pub mod story;
pub mod topology;

mod links;
mod machine;
mod network;
mod parts;
mod probe;
mod shared;

pub use cluster::{Builder, Cluster};
pub use parts::Flavour;
pub use proxy::Proxy;
pub use shared::shared;
pub use story::{Plot, Step, Story};
pub use topology::{Entry, Topology, list};
