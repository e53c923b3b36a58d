//! Services beside the nodes, run as local processes, a browser, and `eventually`: what tests need where no container
//! runtime is at hand.
//!
//! Each service is a value that ends its process when dropped, and that process does not outlive this one either. Each
//! listens on 127.0.0.1 only and keeps nothing after its end. Nothing here knows what a chat is.

pub mod browser;
mod eventually;
pub mod galera;
pub mod mariadb;
mod mariadbd;
pub mod nginx;
pub mod nginx_config;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod redis;

pub use eventually::{eventually, within};
