//! Bytes to typed messages and back, for all dialects. Imports nothing of ours.

pub mod conversation;
pub mod errno;
pub mod message;
