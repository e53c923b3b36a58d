//! The way in: the port, and what comes before the first message of a connection.

pub mod listener;
pub mod proxy_protocol;
pub mod stream;
pub mod tls;
