//! Whole clusters, the real node and the real client, in one thread and in virtual time.
//!
//! A [`Schedule`] says what people do and what breaks; [`run()`] lives through it, and the judge looks at the history.
//! Whatever a machine would decide, a seed decides here: clock and entropy, who runs when, how bytes are cut and when
//! they arrive, what becomes of an envelope on the bus and of a COMMIT. So a schedule that fails fails again.
//!
//! [`campaign`] lives through many seeds, each in a process of its own ([`worker`]); [`shrink()`] makes a schedule that
//! fails small.
//!
//! SQL is real (SQLite in memory, called inline, with the storage's own statements); locks are SQLite's, one
//! transaction at a time, so what InnoDB's row locks do shows elsewhere.

pub mod campaign;
pub mod coverage;
pub mod schedule;
pub mod told;
pub mod worker;

mod bus;
mod chance;
mod cluster;
mod counters;
mod database;
mod ddmin;
mod environment;
mod failure;
mod keys;
mod network;
mod person;
pub mod proof;
mod record;
mod run;
mod shrink;
mod smaller;
mod trace;
mod troubles;
mod workers;

pub use coverage::Reached;
pub use ddmin::ddmin;
pub use failure::Failure;
pub use run::{NOT_JUDGED, Outcome, run};
pub use schedule::{Schedule, Shape, Workload};
pub use shrink::{MOST_RUNS, Shrunk, shrink};
pub use trace::Digest;
pub use workers::{LIMIT, Lived, Workers};
