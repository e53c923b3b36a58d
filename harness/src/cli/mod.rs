//! The commands of `harness` that tell stories.

pub mod chaos;
pub mod prove;
pub mod story;
pub mod table;

mod output;
mod stage;
