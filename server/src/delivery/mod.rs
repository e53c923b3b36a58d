//! From an accepted message to everyone who is to see it.
//!
//! Stored messages are committed in batches ([`commit`]), handed to the sessions of this node ([`local`]) and, over the
//! bus, to the other nodes ([`fan_out`]), which take them in at [`bus_receiver`]. Messages with `qos` 0 go straight
//! from connection to connection ([`relay`]). [`repair`] finds in the log what the bus lost. [`members`] says who gets
//! a message, [`routes`] where they are.

pub mod batch_queue;
pub mod bus_receiver;
pub mod commit;
pub mod errands;
pub mod fan_out;
pub mod local;
pub mod member_changes;
pub mod members;
pub mod parts;
pub mod pending;
pub mod pulse;
pub mod relay;
pub mod repair;
pub mod repair_call;
pub mod routes;

pub use parts::Delivery;
