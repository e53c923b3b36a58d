//! Hashing everybody's password: slow on purpose, hence on all cores.

use super::plan::PlannedUser;
use crate::storage::{Error, Result};
use chat_environment::Tasks;
use futures_util::{StreamExt, stream};
use std::sync::Arc;

/// Makes the stored form of a password; the error says what is wrong with it.
pub type HashPassword = Arc<dyn Fn(&str) -> std::result::Result<String, String> + Send + Sync>;

/// Told the number of passwords hashed and their total: by far the longest part.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Send + Sync);

/// The hashes, one per user in order.
pub async fn hash_all(
    users: &[PlannedUser],
    hash: HashPassword,
    progress: Progress<'_>,
    tasks: &Tasks,
) -> Result<Vec<String>> {
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let hashed = |user: &PlannedUser| {
        let (hash, password) = (hash.clone(), user.password.clone());
        tasks.blocking("hash of a password", move || hash(&password))
    };
    let hashing: Vec<_> = users.iter().map(hashed).collect();
    let mut hashing = stream::iter(hashing).buffered(at_once);
    let mut hashes = Vec::with_capacity(users.len());
    while let Some(hashed) = hashing.next().await {
        let hash =
            hashed.map_err(|_| Error::Unusable("a password could not be hashed: the hash function panicked".into()))?;
        let user = users[hashes.len()].id;
        hashes.push(
            hash.map_err(|error| Error::Unusable(format!("the password of user {user} cannot be hashed: {error}")))?,
        );
        progress(hashes.len(), users.len());
    }
    Ok(hashes)
}
