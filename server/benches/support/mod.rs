//! What the benches that run a server in a process of its own share: starting it, and looking at it from outside.

#![allow(dead_code, reason = "each bench is a program of its own and uses its part")]

pub mod client;
pub mod figures;
pub mod process;
pub mod source;
