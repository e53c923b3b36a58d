//! What PROTOCOL.md promises, one claim a test.

mod administered;
mod arrived;
mod classic;
mod database;
mod delivery;
mod edges;
mod endings;
mod lease;
mod limits;
mod log_holes;
mod losses;
mod membership;
mod own_words;
mod received;
mod relayed;
mod requests;
mod resend;
mod retention;
mod sessions;
mod several_redis;
mod strangers;
