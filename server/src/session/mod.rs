//! One logged-in user: what has been pushed to it, what it has received, and who is here.
//!
//! [`Session`] is a state machine without socket, clock or task; `model` tests it against a model. Around it: the bytes
//! that wait for its connection ([`outbound`]), who is logged in here ([`registry`]), reading the log for those that
//! are behind ([`catch_up`]), saving cursors ([`cursor_saver`]), what logins read ([`login_reads`]), and the rows that
//! say whose session it is ([`claims`]).

mod state;

mod answers;
mod barred;
mod cursors;
mod place;

pub mod catch_up;
pub mod claims;
pub mod cursor_saver;
pub mod ending;
pub mod failure;
pub mod log_ends;
pub mod login_reads;
pub mod outbound;
pub mod pace;
pub mod per_user;
pub mod registry;
pub mod turns;
pub mod yielded;

#[cfg(test)]
mod losses;
#[cfg(test)]
mod model;

pub use answers::{Delivered, Doubt, Next, Read, Relayed};
pub use state::Session;
