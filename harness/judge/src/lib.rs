//! Judges what happened: the format of a history, and the checkers that hold it against the contract's promises. Load
//! runs and the test harness write the same events and are judged by the same checkers.
//!
//! A [`history`] is a list of events. [`Facts`] puts them in order, each [`Guarantee`] looks at the facts for itself,
//! and [`check`] makes a [`Judgement`] of what all of them found.
//!
//! Invariants: an empty history is never valid; a violation shows the events that prove it; nothing here knows who
//! wrote the history, or how.

pub mod clock;
pub mod history;

mod facts;
mod guarantee;
mod judgement;
mod membership;
mod verdict;

pub use facts::{Facts, Message};
pub use guarantee::{Finding, Guarantee, Violation, recovery};
pub use judgement::{Judgement, Told, check};
pub use verdict::Verdict;
