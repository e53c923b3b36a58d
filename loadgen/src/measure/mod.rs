//! What is measured: latencies, the account of every message, and the outcome that a run comes to.

mod clock;
pub mod figures;
mod intervention;
mod latency;
pub mod ledger;
mod machine;
mod outcome;
mod recorder;
pub mod stamp;

pub use clock::ClockOffset;
pub use intervention::{Act, Intervention, Span, asked_for, spans};
pub use latency::{Latencies, LatencyKind};
pub use machine::{Machine, command_line, quote};
pub use outcome::{Answers, Checked, FORMAT, Outcome, Resources};
pub use recorder::{Point, Recorder, Second};
