//! The commands of `harness` that tell stories, or live through schedules.

pub mod chaos;
pub mod prove;
pub mod sim;
pub mod story;
pub mod table;

mod output;
#[cfg(test)]
mod samples;
pub mod stage;
