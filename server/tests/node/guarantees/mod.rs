//! What PROTOCOL.md promises, one claim a test.

mod classic;
mod database;
mod delivery;
mod edges;
mod limits;
mod received;
mod relayed;
mod requests;
mod resend;
mod sessions;
mod strangers;
