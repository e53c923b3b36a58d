//! The commands of `harness` that tell stories.

pub mod prove;
pub mod story;
pub mod table;
