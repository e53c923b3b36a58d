//! The way in: the port, and what comes before the first message of a connection.

pub mod entrance;
pub mod listener;
pub mod open;
pub mod proxy_protocol;
