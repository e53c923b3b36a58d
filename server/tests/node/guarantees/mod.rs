//! What PROTOCOL.md promises, one claim a test.

mod classic;
mod database;
mod delivery;
mod edges;
mod limits;
mod log_holes;
mod membership;
mod received;
mod relayed;
mod requests;
mod resend;
mod sessions;
