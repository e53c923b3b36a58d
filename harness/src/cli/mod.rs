//! The commands of `harness` that tell stories.

pub mod chaos;
pub mod prove;
pub mod story;
pub mod table;

mod output;
#[cfg(test)]
mod samples;
mod stage;
