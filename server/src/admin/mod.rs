//! What operators ask of a node: whether it is well, what it counts, and, with the secret, who is online where, what is
//! to become of an account or of the node, and how large conversations are.
//!
//! The API is HTTP with JSON, and versioned by its path: fields and operations are added, never changed. What concerns
//! an account is done in the database, so it does not matter which node is asked; a session that has to end is asked
//! for over the bus and in its row, as a login elsewhere does. `chat-server admin` is its client ([`client`]).

pub mod answer;
pub mod call;
pub mod client;
pub mod conversations;
pub mod drain;
pub mod health;
pub mod nodes;
pub mod order;
pub mod password;
pub mod port;
pub mod prune;
pub mod refusal;
pub mod sessions;
pub mod user;

mod routes;
mod state;
mod whom;

/// What the paths of all operations begin with.
pub const API: &str = "/admin/v1/";
/// Rows of a list, unless a call says how many.
pub const LISTED: u32 = 100;
/// The most rows of one answer; more are asked for in pages.
pub const MOST_LISTED: u32 = 1_000;
