//! Which nodes live, and for how long this one may act for its sessions.
//!
//! No clock but each node's own monotonic one decides: a node acts while its [`lease`] holds, which counts from when it
//! sent its latest renewal; another calls it gone after it has [`watch`]ed its renewals stand still for longer than that.

pub mod lease;
pub mod lease_keeper;
pub mod peers;
pub mod tidy;
pub mod watch;
