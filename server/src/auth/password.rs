//! Password hashes: argon2id, made and checked away from the tasks that serve connections.
//!
//! A hash takes tens of milliseconds of one core and 19 MiB by default. So as many run at once as there are cores, a
//! bounded number waits, in turns that go round between those who ask (`places`), and the rest is told to come back
//! ([`WAITING_PASSWORDS`]). An unknown user costs the same work as a wrong password, so that time does not tell them
//! apart. Work begun is finished even if its caller is gone: the place is held by the work, not by the caller.

mod fair_queue;
mod memory;
mod phc;
mod places;

use crate::auth::origin::Origin;
use crate::config;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use chat_environment::Environment;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::Secret;
use memory::Memory;
use phc::{hash_in, matches, output, read};
use places::Places;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// Password checks that may wait for a core, about 3 s of work for two cores; beyond it errno 11 for the latest of the
/// address that has the most waiting.
pub const WAITING_PASSWORDS: usize = 256;
/// What a client that finds no place is told to wait.
const RETRY: Duration = Duration::from_secs(1);

/// The settings cannot be used: stop, and show the text.
#[derive(Debug, thiserror::Error)]
#[error("password.memory_kib = {memory_kib} and password.iterations = {iterations} cannot be used: {reason}")]
pub struct Error {
    memory_kib: u32,
    iterations: u32,
    reason: String,
}

/// Hashes and checks passwords. Cheap to clone; all clones share the same places.
#[derive(Clone)]
pub struct PasswordHasher {
    params: Params,
    places: Arc<Places>,
    environment: Environment,
}

/// On whose behalf a hash is computed: turns go round between addresses, and then between purposes.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    pub origin: Origin,
    pub purpose: Purpose,
}

/// Those who log in do not wait behind those who register at the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Login,
    Register,
}

impl Asker {
    fn path(self) -> [u128; 4] {
        let [widest, wide, address] = self.origin.path();
        [widest, wide, address, self.purpose as u128]
    }
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
        Ok(PasswordHasher { params, places: Places::new(cores, waiting), environment: Environment::default() })
    }

    /// Salts, and threads for hashing, are a node's.
    pub fn within(self, environment: Environment) -> Self {
        PasswordHasher { environment, ..self }
    }

    /// A new hash in PHC format (`$argon2id$v=19$...`) with a salt of its own.
    ///
    /// # Errors
    /// Errno 11 where too many wait already, or the system has no memory or randomness left.
    pub async fn hash(&self, asker: Asker, password: Secret) -> Result<String, Failure> {
        let (argon2, mut salt) = (self.argon2(), [0; argon2::RECOMMENDED_SALT_LEN]);
        let is_salted = self.environment.entropy.fill(&mut salt).is_ok();
        let hashed = self.run(asker, move |memory| hash_in(memory, &argon2, &password, &salt)).await?;
        hashed.filter(|_| is_salted).ok_or_else(|| {
            tracing::error!("a password could not be hashed: no memory or no random numbers are left");
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
    pub async fn verify(&self, asker: Asker, password: &Secret, phc: Option<&str>) -> Result<bool, Failure> {
        let argon2 = self.argon2();
        let password = password.clone();
        let stored = phc.and_then(read);
        self.run(asker, move |memory| match stored {
            Some(stored) => matches(memory, &password, &stored) == Some(true),
            None => {
                // Only the work counts; none (no memory) would not change the answer.
                std::hint::black_box(output(memory, &argon2, &password, &[0; argon2::RECOMMENDED_SALT_LEN]));
                false
            }
        })
        .await
    }

    fn argon2(&self) -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
    }

    async fn run<T: Send + 'static>(
        &self,
        asker: Asker,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let mut place = self.places.enter(&asker.path()).await.ok_or_else(unavailable)?;
        self.environment.tasks.blocking("password", move || work(place.memory())).await.map_err(|_| unavailable())
    }
}

fn unavailable() -> Failure {
    Failure::new(Errno::Unavailable, "too many logins at once").retry_after(RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Password;

    fn cheap() -> Password {
        Password { memory_kib: 8, iterations: 1, ..Password::default() }
    }

    const HERE: Asker =
        Asker { origin: Origin::of(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)), purpose: Purpose::Login };

    fn secret(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    #[tokio::test]
    async fn only_the_right_password_is_accepted() {
        let hasher = PasswordHasher::new(&cheap()).unwrap();

        let phc = hasher.hash(HERE, secret("pass wörd")).await.unwrap();

        assert!(hasher.verify(HERE, &secret("pass wörd"), Some(&phc)).await.unwrap());
        assert!(!hasher.verify(HERE, &secret("pass word"), Some(&phc)).await.unwrap());
        assert!(!hasher.verify(HERE, &secret(""), Some(&phc)).await.unwrap());
        assert!(!hasher.verify(HERE, &secret("pass wörd"), None).await.unwrap());
        assert_ne!(phc, hasher.hash(HERE, secret("pass wörd")).await.unwrap(), "salts differ");
    }

    #[tokio::test]
    async fn hashes_carry_the_default_cost_and_fit_the_column() {
        let hasher = PasswordHasher::new(&Password::default()).unwrap();

        let phc = hasher.hash(HERE, secret("x")).await.unwrap();

        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(phc.len() <= 255, "{}", phc.len());
    }

    #[tokio::test]
    async fn hashes_made_under_other_settings_still_work() {
        let earlier = PasswordHasher::new(&Password { memory_kib: 64, iterations: 3, ..cheap() }).unwrap();
        let phc = earlier.hash(HERE, secret("secret")).await.unwrap();

        let hasher = PasswordHasher::new(&cheap()).unwrap();

        assert!(hasher.verify(HERE, &secret("secret"), Some(&phc)).await.unwrap());
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
            assert!(!hasher.verify(HERE, &secret("secret"), Some(phc)).await.unwrap(), "{phc}");
        }
    }

    #[tokio::test]
    async fn beyond_the_waiting_places_clients_are_told_to_come_back() {
        let hasher = PasswordHasher::with_places(&cheap(), 1, 2).unwrap();
        let running = hasher.places.enter(&HERE.path()).await.unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let hasher = hasher.clone();
                tokio::spawn(async move { hasher.hash(HERE, secret("x")).await })
            })
            .collect();
        while hasher.places.count().1 < 2 {
            tokio::task::yield_now().await;
        }

        let refused = hasher.verify(HERE, &secret("x"), None).await.unwrap_err();
        drop(running);

        assert_eq!((refused.errno, refused.retry), (Errno::Unavailable, Some(RETRY)));
        for task in waiting {
            assert!(task.await.unwrap().is_ok());
        }
        assert!(hasher.verify(HERE, &secret("x"), None).await.is_ok(), "places are given back");
        assert_eq!(hasher.places.count(), (0, 0));
    }

    #[tokio::test]
    async fn a_caller_that_leaves_while_waiting_frees_its_place() {
        let hasher = PasswordHasher::with_places(&cheap(), 1, 1).unwrap();
        let running = hasher.places.enter(&HERE.path()).await.unwrap();
        let left = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.hash(HERE, secret("x")).await }
        });
        while hasher.places.count().1 == 0 {
            tokio::task::yield_now().await;
        }

        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        drop(running);

        assert!(hasher.hash(HERE, secret("x")).await.is_ok());
    }

    #[test]
    fn logging_in_does_not_wait_behind_registering_at_the_same_address() {
        let (login, register) = (HERE.path(), Asker { purpose: Purpose::Register, ..HERE }.path());
        assert_eq!(login[..3], register[..3]);
        assert_ne!(login, register);
    }

    #[test]
    fn parameters_below_the_minimum_are_refused() {
        let error = PasswordHasher::new(&Password { memory_kib: 7, ..cheap() }).err().unwrap().to_string();
        assert!(error.contains("password.memory_kib = 7"), "{error}");
        assert!(PasswordHasher::new(&Password { iterations: 0, ..cheap() }).is_err());
    }
}
