//! Hashing everybody's password: slow on purpose, hence on all cores.

use super::plan::PlannedUser;
use super::{HashPassword, Progress};
use crate::storage::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// The hashes, one per user in order.
#[allow(clippy::disallowed_methods, reason = "a migration is no node: it waits for its threads itself")]
pub async fn hash_all(users: &[PlannedUser], hash: HashPassword, progress: Progress<'_>) -> Result<Vec<String>> {
    let passwords: Arc<[String]> = users.iter().map(|user| user.password.clone()).collect();
    let next = Arc::new(AtomicUsize::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (done, mut finished) = mpsc::unbounded_channel();
    for _ in 0..threads.min(passwords.len()) {
        let (passwords, next, hash, done) = (passwords.clone(), next.clone(), hash.clone(), done.clone());
        tokio::task::spawn_blocking(move || {
            while let Some((at, password)) = take(&next, &passwords) {
                // Nobody listens any more once another has failed.
                if done.send((at, hash(password))).is_err() {
                    break;
                }
            }
        });
    }
    drop(done);

    let mut hashes = vec![String::new(); users.len()];
    let mut count = 0;
    while let Some((at, hash)) = finished.recv().await {
        hashes[at] = hash.map_err(|error| {
            Error::Unusable(format!("the password of user {} cannot be hashed: {error}", users[at].id))
        })?;
        count += 1;
        progress(count, users.len());
    }
    if count < users.len() {
        return Err(Error::Unusable("a password could not be hashed: the hash function panicked".into()));
    }
    Ok(hashes)
}

fn take<'a>(next: &AtomicUsize, passwords: &'a [String]) -> Option<(usize, &'a String)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    passwords.get(at).map(|password| (at, password))
}
