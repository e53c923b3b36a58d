//! Stories of a cluster of processes, without containers: one promise a file, and one database server for all of them.

mod database;
mod everyday;
mod nodes;
mod redis;
mod strangers;
