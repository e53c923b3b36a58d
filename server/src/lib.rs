//! A cluster chat server.

pub mod admin;
pub mod bus;
pub mod cluster;
pub mod config;
pub mod limits;
pub mod logging;
pub mod login_limit;
pub mod metrics;
pub mod password;
pub mod protocol;
pub mod proxy_protocol;
pub mod shutdown;
pub mod storage;
pub mod tls;
pub mod token;
