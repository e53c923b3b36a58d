//! The domain operations over any SQL database.
//!
//! Each domain stands in a file of its own: its trait, implemented by functions of a
//! [`Connection`](super::engine::Connection). What all share is given to them by [`storage`]: a connection, a
//! transaction with its retries, and the time limit.

mod accounts;
mod age;
mod append;
mod conversations;
mod cursors;
mod friends;
mod groups;
mod log;
mod nodes;
mod orders;
mod overview;
mod repair;
mod retention;
mod sessions;
mod tidying;
mod verify;

mod changes;
mod columns;
pub mod lists;
mod locks;
mod pages;
pub mod schema;
mod session_rows;
mod storage;
mod upgrade;

pub use storage::{SqlStorage, settle};
