//! Starts what a chat cluster consists of, breaks it, and checks what it promised.

pub mod container;
pub mod images;
pub mod local;
pub mod report;
pub mod users;
