//! Whole nodes, embedded in this process and spoken to over TCP: what the contract promises, what the classic servers
//! get wrong, and what happens to a node that is treated badly.
//!
//! One binary, because linking is what takes long. Nodes share an SQLite database in memory and, save where it is about
//! Redis, the in-process bus; only what those cannot show is left to the cluster tests.

mod support;

mod guarantees;

mod holes;

mod bad_input;

mod observed;
