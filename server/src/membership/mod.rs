//! Which nodes live, and for how long this one may act for its sessions.
//!
//! No clock but each node's own monotonic one decides: a node acts while its [`lease`] holds, which counts from when it
//! sent its latest renewal; another calls it gone after it has [`watch`]ed its renewals stand still for longer than
//! that. Clocks may run faster or slower than they should by up to a twentieth. What the answers to renewals say of the
//! sessions here is for [`standing`]. `model` tests the three together.

pub mod lease;
pub mod lease_keeper;
pub mod peers;
pub mod standing;
pub mod tidy;
pub mod watch;

#[cfg(test)]
mod model;
