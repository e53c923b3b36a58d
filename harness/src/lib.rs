//! Starts what a chat cluster consists of, breaks it, and checks what it promised.

pub mod container;
pub mod eventually;
pub mod images;
pub mod local;
pub mod report;
pub mod services;
pub mod users;
