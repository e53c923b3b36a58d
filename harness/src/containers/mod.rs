//! A real cluster in containers: a database, Redis, nginx and nodes, each at an address of its own on a network of its
//! own.
//!
//! [`Containers::builder`] starts one; it is gone when its value is, or at the latest when this process is: see
//! [`reaper`].
//!
//! Clients connect to the containers' own addresses: publishing ports would put a relay process between them, and halve
//! what can be measured. So it takes Linux, with the engine on this machine.

pub mod docker;
pub mod evidence;
pub mod images;
pub mod reaper;

mod cluster;
mod foundation;
mod group;
mod machine;
mod network;
mod packet_filter;
mod parts;
mod topology;

pub use crate::cluster::Flavour;
pub use cluster::{Builder, Containers, InContainers};
pub use topology::{Entry, Topology, list};
