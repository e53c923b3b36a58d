//! Starts what a chat cluster consists of, breaks it, and checks what it promised.

pub mod cluster;
pub mod containers;
pub mod fault;
pub mod held;
pub mod link;
pub mod live;
pub mod processes;
pub mod program;
pub mod report;
pub mod story;
pub mod users;

mod own_runtime;
