//! A cluster chat server.

pub mod bus;
pub mod client;
pub mod cluster;
pub mod config;
pub mod limits;
pub mod protocol;
pub mod storage;
