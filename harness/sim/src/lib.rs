//! Whole clusters, the real node and the real client, in one thread and in virtual time.
//!
//! A [`Schedule`] says what people do and what breaks; [`run()`] lives through it, and the judge looks at the history.
//! Whatever a machine would decide, a seed decides here: clock and entropy, who runs when, how bytes are cut and when
//! they arrive, what becomes of an envelope on the bus and of a COMMIT. So a schedule that fails fails again.
//!
//! SQL is real (SQLite in memory, called inline, with the storage's own statements); locks are SQLite's, one
//! transaction at a time, so what InnoDB's row locks do shows elsewhere.

mod bus;
mod chance;
mod cluster;
mod counters;
pub mod coverage;
mod database;
mod environment;
mod keys;
mod network;
mod person;
pub mod proof;
mod record;
mod run;
pub mod schedule;
mod trace;
mod troubles;

pub use coverage::Reached;
pub use run::{Outcome, run};
pub use schedule::{Schedule, Shape, Workload};
pub use trace::Digest;
