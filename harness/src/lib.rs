//! Starts what a chat cluster consists of, breaks it, and checks what it promised.

pub mod eventually;
pub mod services;
