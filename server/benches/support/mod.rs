//! What the benches that run a server in a process of its own share: starting it, and looking at it from outside.

// Each bench is a program of its own and uses its part.
#![allow(dead_code)]

pub mod client;
pub mod process;
pub mod source;
