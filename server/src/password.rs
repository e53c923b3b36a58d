//! Password hashes: argon2id, made and checked away from the tasks that serve connections.
//!
//! A hash takes tens of milliseconds of one core and 19 MiB by default. So as many run at once as there are cores, a
//! bounded number waits, and the rest is told to come back ([`WAITING_PASSWORDS`]). An unknown user costs the same work as
//! a wrong password, so that time does not tell them apart. Work begun is finished even if its caller is gone: the
//! places are held by the work, not by the caller.

use crate::config;
use crate::protocol::errno::{Errno, Failure};
use crate::protocol::message::Secret;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Password checks that may wait for a core, about 3 s of work for two cores; beyond it errno 11.
pub const WAITING_PASSWORDS: usize = 256;
/// What a client that finds no place is told to wait.
const RETRY: Duration = Duration::from_secs(1);

/// The most memory of one hash, in KiB: for the settings, and for what stands in the database. A hash with more is not
/// computed.
pub const MAX_MEMORY_KIB: u32 = 1024 * 1024;
/// The most passes of one hash, likewise.
pub const MAX_ITERATIONS: u32 = 64;
/// The most lanes of a hash from the database, likewise. Ours have one.
const MAX_LANES: u32 = 16;

/// The settings cannot be used: stop, and show the text.
#[derive(Debug, thiserror::Error)]
#[error("password.memory_kib = {memory_kib} and password.iterations = {iterations} cannot be used: {reason}")]
pub struct Error {
    memory_kib: u32,
    iterations: u32,
    reason: String,
}

/// Hashes and checks passwords. Cheap to clone; all clones share the same places.
#[derive(Clone, Debug)]
pub struct PasswordHasher {
    params: Params,
    /// One permit for each hash that runs or waits.
    places: Arc<Semaphore>,
    /// One permit for each hash that runs.
    cores: Arc<Semaphore>,
}

impl PasswordHasher {
    /// # Errors
    /// Parameters that argon2 does not take.
    pub fn new(settings: &config::Password) -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::with_places(settings, cores, WAITING_PASSWORDS)
    }

    fn with_places(settings: &config::Password, cores: usize, waiting: usize) -> Result<Self, Error> {
        let config::Password { memory_kib, iterations, .. } = *settings;
        let params = Params::new(memory_kib, iterations, Params::DEFAULT_P_COST, None).map_err(|error| Error {
            memory_kib,
            iterations,
            reason: error.to_string(),
        })?;
        let places = Arc::new(Semaphore::new(cores + waiting));
        Ok(PasswordHasher { params, places, cores: Arc::new(Semaphore::new(cores)) })
    }

    /// A new hash in PHC format (`$argon2id$v=19$...`) with a salt of its own.
    ///
    /// # Errors
    /// Errno 11 where too many wait already, or the system has no memory or randomness left.
    pub async fn hash(&self, password: Secret) -> Result<String, Failure> {
        let hasher = self.clone();
        let hashed = self.run(move || hasher.hash_blocking(&password.0)).await?;
        hashed.map_err(|error| {
            tracing::error!(%error, "a password could not be hashed");
            unavailable()
        })
    }

    /// The same on the calling thread, for programs that have threads of their own for it.
    ///
    /// # Errors
    /// No memory or randomness left, in words.
    pub fn hash_blocking(&self, password: &str) -> Result<String, String> {
        let hashed = self.argon2().hash_password(password.as_bytes());
        hashed.map(|hash| hash.to_string()).map_err(|error| error.to_string())
    }

    /// Whether `password` is the one that `phc` was made from. `None` stands for an unknown user: the same work, and
    /// false. So does a hash that cannot be read or asks for absurd amounts of work; that is logged.
    ///
    /// # Errors
    /// Errno 11 where too many wait already.
    pub async fn verify(&self, password: &Secret, phc: Option<&str>) -> Result<bool, Failure> {
        let argon2 = self.argon2();
        let password = password.clone();
        let stored = phc.and_then(read);
        self.run(move || match stored {
            Some(stored) => argon2.verify_password(password.0.as_bytes(), &stored).is_ok(),
            None => {
                // Only the work counts; an error (no memory) would not change the answer.
                let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
                let _ = argon2.hash_password_into(password.0.as_bytes(), &[0; argon2::RECOMMENDED_SALT_LEN], &mut out);
                std::hint::black_box(out);
                false
            }
        })
        .await
    }

    fn argon2(&self) -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| unavailable())?;
        let core = self.cores.clone().acquire_owned().await.expect("the semaphore is never closed");
        let permits: [OwnedSemaphorePermit; 2] = [place, core];
        let work = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permits);
            result
        });
        work.await.map_err(|error| {
            tracing::error!(%error, "a password check did not finish");
            unavailable()
        })
    }
}

fn unavailable() -> Failure {
    Failure::new(Errno::Unavailable, "too many logins at once").retry_after(RETRY)
}

/// A stored hash, if it is one that can be checked at a sane price.
fn read(phc: &str) -> Option<PasswordHash> {
    let refuse = |reason: String| tracing::error!(reason, "a stored password hash cannot be used");
    let hash = PasswordHash::new(phc).map_err(|error| refuse(error.to_string())).ok()?;
    if hash.salt.is_none() || hash.hash.is_none() {
        refuse("incomplete".into());
        return None;
    }
    let params = Params::try_from(&hash).map_err(|error| refuse(error.to_string())).ok()?;
    if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_ITERATIONS || params.p_cost() > MAX_LANES {
        refuse(format!("m={}, t={}, p={} is too much", params.m_cost(), params.t_cost(), params.p_cost()));
        return None;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Password;

    fn cheap() -> Password {
        Password { memory_kib: 8, iterations: 1, ..Password::default() }
    }

    fn secret(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    #[tokio::test]
    async fn only_the_right_password_is_accepted() {
        let hasher = PasswordHasher::new(&cheap()).unwrap();

        let phc = hasher.hash(secret("pass wörd")).await.unwrap();

        assert!(hasher.verify(&secret("pass wörd"), Some(&phc)).await.unwrap());
        assert!(!hasher.verify(&secret("pass word"), Some(&phc)).await.unwrap());
        assert!(!hasher.verify(&secret(""), Some(&phc)).await.unwrap());
        assert!(!hasher.verify(&secret("pass wörd"), None).await.unwrap());
        assert_ne!(phc, hasher.hash(secret("pass wörd")).await.unwrap(), "salts differ");
    }

    #[tokio::test]
    async fn hashes_carry_the_default_cost_and_fit_the_column() {
        let hasher = PasswordHasher::new(&Password::default()).unwrap();

        let phc = hasher.hash(secret("x")).await.unwrap();

        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(phc.len() <= 255, "{}", phc.len());
    }

    #[tokio::test]
    async fn hashes_made_under_other_settings_still_work() {
        let earlier = PasswordHasher::new(&Password { memory_kib: 64, iterations: 3, ..cheap() }).unwrap();
        let phc = earlier.hash(secret("secret")).await.unwrap();

        let hasher = PasswordHasher::new(&cheap()).unwrap();

        assert!(hasher.verify(&secret("secret"), Some(&phc)).await.unwrap());
    }

    #[tokio::test]
    async fn unusable_stored_hashes_match_no_password() {
        let hasher = PasswordHasher::new(&cheap()).unwrap();
        let tail = "c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        let stored = [
            "",
            "secret",
            "$1$abc$def",
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0",
            &format!("$argon2id$v=19$m=4294967295,t=1,p=1${tail}"),
            &format!("$argon2id$v=19$m=8,t=4294967295,p=1${tail}"),
            &format!("$argon2id$v=19$m=4096,t=1,p=400${tail}"),
            &format!("$argon2xx$v=19$m=8,t=1,p=1${tail}"),
        ];
        for phc in stored {
            assert!(!hasher.verify(&secret("secret"), Some(phc)).await.unwrap(), "{phc}");
        }
    }

    #[tokio::test]
    async fn beyond_the_waiting_places_clients_are_told_to_come_back() {
        let hasher = PasswordHasher::with_places(&cheap(), 1, 2).unwrap();
        let running = hasher.cores.clone().acquire_owned().await.unwrap();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let hasher = hasher.clone();
                tokio::spawn(async move { hasher.hash(secret("x")).await })
            })
            .collect();
        while hasher.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }

        let refused = hasher.verify(&secret("x"), None).await.unwrap_err();
        drop(running);

        assert_eq!((refused.errno, refused.retry), (Errno::Unavailable, Some(RETRY)));
        for task in waiting {
            assert!(task.await.unwrap().is_ok());
        }
        assert!(hasher.verify(&secret("x"), None).await.is_ok(), "places are given back");
    }

    #[tokio::test]
    async fn a_caller_that_leaves_while_waiting_frees_its_place() {
        let hasher = PasswordHasher::with_places(&cheap(), 1, 0).unwrap();
        let running = hasher.cores.clone().acquire_owned().await.unwrap();
        let left = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.hash(secret("x")).await }
        });
        while hasher.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }

        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        drop(running);

        assert!(hasher.hash(secret("x")).await.is_ok());
    }

    #[test]
    fn parameters_below_the_minimum_are_refused() {
        let error = PasswordHasher::new(&Password { memory_kib: 7, ..cheap() }).unwrap_err().to_string();
        assert!(error.contains("password.memory_kib = 7"), "{error}");
        assert!(PasswordHasher::new(&Password { iterations: 0, ..cheap() }).is_err());
    }
}
