//! What is measured: latencies, the account of every message, and the outcome that a run comes to.

pub mod figures;
pub mod latency;
pub mod ledger;
pub mod machine;
pub mod outcome;
pub mod recorder;
pub mod stamp;
