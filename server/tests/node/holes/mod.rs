//! What the classic servers of this family get wrong: each hole closed, by a test that is named after it.
//!
//! The names state the fault; the tests show that it is not there. A Redis that restarts and a node's process that is
//! killed are shown by the cluster tests.

mod bytes;
mod delivery;
mod sessions;
mod text;
mod trust;
