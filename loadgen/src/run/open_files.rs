//! The limit on open files: raised as far as allowed, or a clear message.

use crate::cluster::Nodes;

/// Files that a run needs beside its connections.
const OTHERS: u64 = 200;

/// The system allows too few open files.
#[derive(Debug, thiserror::Error)]
#[error(
    "{users} users need {needed} open files here, the limit is {limit}: raise it (ulimit -n), use fewer users, or \
     more processes with --shard"
)]
pub struct Error {
    users: u32,
    needed: u64,
    limit: u64,
}

/// Raises the soft limit as far as needed. With nodes on threads of this process both ends of each connection are in
/// it; those in a child of it have the same limit to themselves.
pub fn raise_limit(users: u32, nodes: &Nodes) -> Result<(), Error> {
    let ends = if matches!(nodes, Nodes::Threads) { 2 } else { 1 };
    let needed = u64::from(users) * ends + OTHERS;
    // Where the system does not tell, it does not limit either.
    let limit = rlimit::increase_nofile_limit(needed).unwrap_or(u64::MAX);
    if limit < needed {
        return Err(Error { users, needed, limit });
    }
    Ok(())
}
