//! Services beside the nodes, run as local processes: what a cluster needs where no container runtime is at hand.
//!
//! Each is a value that ends its process when dropped, and that process does not outlive this one either. Each listens
//! on
//! 127.0.0.1 only and keeps nothing after its end.

pub mod mariadb;
pub mod nginx;
pub mod redis;

pub(crate) mod ports;
pub(crate) mod process;
