//! Who may use the admin API: whoever knows the secret.
//!
//! The secret is kept only as its HMAC under a key of this run, and what is offered is compared with that in constant
//! time. An address may offer [`WRONG_SECRETS_PER_MINUTE`] wrong ones a minute; beyond that none is looked at, so that
//! guessing tells nothing. Time is passed in.

use super::buckets::Buckets;
use super::origin::{KEPT_ORIGINS, Origin};
use crate::config::{Admin, Current};
use chat_environment::{Entropy, NoEntropy};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// Wrong secrets that are looked at a minute from one address (of IPv6 one network of 64 bits).
pub const WRONG_SECRETS_PER_MINUTE: u32 = 20;
/// The shortest secret, in bytes: nobody guesses it at that rate.
pub const SHORTEST_SECRET_BYTES: usize = 16;
/// The longest secret, in bytes: what is offered beyond it is wrong.
pub const LONGEST_SECRET_BYTES: usize = 1_024;

const WINDOW: Duration = Duration::from_secs(60);
const KEY_BYTES: usize = 32;

/// Why there is no secret. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("admin.secret_file: cannot read {}: {cause}", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    #[error(
        "{origin} holds {bytes} bytes: expected {SHORTEST_SECRET_BYTES} to {LONGEST_SECRET_BYTES} that can be seen, as \
         `openssl rand -hex 32` makes them"
    )]
    Unfit { origin: String, bytes: usize },
    #[error("admin.secret: {0}")]
    Chance(#[from] NoEntropy),
}

/// The secret in the settings; `None`: there is none.
///
/// # Errors
/// A file that cannot be read, or what is no secret.
pub fn secret(settings: &Admin) -> Result<Option<String>, Error> {
    let (origin, secret) = match &settings.secret_file {
        None if settings.secret.is_empty() => return Ok(None),
        None => ("admin.secret".to_owned(), settings.secret.clone()),
        Some(path) => {
            let read = std::fs::read_to_string(path);
            let text = read.map_err(|cause| Error::Read { path: path.clone(), cause })?;
            // Editors and `echo` end a file with a line break.
            (path.display().to_string(), text.trim_end_matches(['\n', '\r']).to_owned())
        }
    };
    // It goes into a header of HTTP as it is.
    let is_fit = (SHORTEST_SECRET_BYTES..=LONGEST_SECRET_BYTES).contains(&secret.len())
        && secret.bytes().all(|byte| byte.is_ascii_graphic());
    if is_fit { Ok(Some(secret)) } else { Err(Error::Unfit { origin, bytes: secret.len() }) }
}

/// The operators of a node.
pub struct Operators {
    known: Current<Option<Known>>,
    wrong: Buckets<Origin>,
}

/// What is known of the secret.
struct Known {
    key: [u8; KEY_BYTES],
    mac: [u8; KEY_BYTES],
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no secret, so nobody is.
    Off,
    Wrong,
    /// Not looked at: the address has offered too many wrong ones. The wait until the next.
    TooOften(Duration),
}

impl Operators {
    /// # Errors
    /// As [`secret`]; and where no random numbers are to be had.
    pub fn new(settings: &Admin, entropy: &dyn Entropy) -> Result<Self, Error> {
        let known = Current::new(Known::of(settings, entropy)?);
        Ok(Operators { known, wrong: Buckets::new(WRONG_SECRETS_PER_MINUTE, WINDOW, KEPT_ORIGINS) })
    }

    /// Takes the secret of other settings; what is wrong with them leaves the old one in force.
    ///
    /// # Errors
    /// As [`Operators::new`].
    pub fn reload(&self, settings: &Admin, entropy: &dyn Entropy) -> Result<(), Error> {
        self.known.set(Known::of(settings, entropy)?);
        Ok(())
    }

    /// Whether whoever offers this, from that address, is let in.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, address: IpAddr, offered: Option<&str>, now: Instant) -> Result<(), Refused> {
        let known = self.known.get();
        let Some(known) = &*known else { return Err(Refused::Off) };
        // Whoever offers nothing guesses nothing.
        let offered = offered.ok_or(Refused::Wrong)?;
        let origin = Origin::of(address);
        // Counted before it is compared: what is tried side by side cannot all slip through.
        self.wrong.take(origin, now).map_err(Refused::TooOften)?;
        if !known.is(offered) {
            return Err(Refused::Wrong);
        }
        self.wrong.give_back(origin, now);
        Ok(())
    }

    /// Forgets what says nothing any more.
    pub fn forget(&self, now: Instant) {
        self.wrong.forget(now);
    }
}

impl Known {
    fn of(settings: &Admin, entropy: &dyn Entropy) -> Result<Option<Known>, Error> {
        let Some(secret) = secret(settings)? else { return Ok(None) };
        let mut key = [0; KEY_BYTES];
        entropy.fill(&mut key)?;
        let mac = keyed(&key, &secret).finalize().into_bytes().into();
        Ok(Some(Known { key, mac }))
    }

    fn is(&self, offered: &str) -> bool {
        offered.len() <= LONGEST_SECRET_BYTES && keyed(&self.key, offered).verify_slice(&self.mac).is_ok()
    }
}

fn keyed(key: &[u8; KEY_BYTES], text: &str) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length").chain_update(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_environment::SystemEntropy;
    use std::net::Ipv4Addr;

    const SECRET: &str = "0123456789abcdef";
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn settings(secret: &str) -> Admin {
        Admin { secret: secret.into(), ..Admin::default() }
    }

    fn operators() -> Operators {
        Operators::new(&settings(SECRET), &SystemEntropy).unwrap()
    }

    #[test]
    fn only_the_secret_lets_in() {
        let (operators, now) = (operators(), Instant::now());

        assert_eq!(operators.admit(HERE, Some(SECRET), now), Ok(()));
        let long = SECRET.repeat(100);
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0", &long] {
            assert_eq!(operators.admit(HERE, Some(wrong), now), Err(Refused::Wrong), "{wrong}");
        }
        assert_eq!(operators.admit(HERE, None, now), Err(Refused::Wrong));
    }

    #[test]
    fn without_a_secret_nobody_is_let_in() {
        let operators = Operators::new(&settings(""), &SystemEntropy).unwrap();

        for offered in [None, Some(""), Some(SECRET)] {
            assert_eq!(operators.admit(HERE, offered, Instant::now()), Err(Refused::Off));
        }
    }

    #[test]
    fn wrong_secrets_are_limited_by_address_and_right_ones_are_not() {
        let (operators, now) = (operators(), Instant::now());
        for _ in 0..1_000 {
            assert_eq!(operators.admit(HERE, Some(SECRET), now), Ok(()));
        }

        let wrong = (0..1_000).take_while(|_| operators.admit(HERE, Some("x"), now) == Err(Refused::Wrong)).count();

        assert_eq!(wrong, WRONG_SECRETS_PER_MINUTE as usize);
        assert!(
            matches!(operators.admit(HERE, Some(SECRET), now), Err(Refused::TooOften(_))),
            "guessing tells nothing"
        );
        assert_eq!(operators.admit(THERE, Some(SECRET), now), Ok(()));
        assert_eq!(operators.admit(HERE, Some(SECRET), now + Duration::from_secs(3)), Ok(()));
    }

    #[test]
    fn secret_can_be_changed_and_an_unfit_one_leaves_the_old_in_force() {
        let (operators, now) = (operators(), Instant::now());

        assert!(operators.reload(&settings("short"), &SystemEntropy).is_err());
        assert_eq!(operators.admit(HERE, Some(SECRET), now), Ok(()));
        operators
            .reload(&settings("another secret of enough bytes".replace(' ', "-").as_str()), &SystemEntropy)
            .unwrap();

        assert_eq!(operators.admit(HERE, Some(SECRET), now), Err(Refused::Wrong));
        assert_eq!(operators.admit(HERE, Some("another-secret-of-enough-bytes"), now), Ok(()));
    }

    #[test]
    fn secret_of_a_file_ends_before_its_line_break() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let in_file = |text: &str| {
            std::fs::write(&path, text).unwrap();
            secret(&Admin { secret_file: Some(path.clone()), ..Admin::default() })
        };

        assert_eq!(in_file(&format!("{SECRET}\r\n")).unwrap().as_deref(), Some(SECRET));
        for (text, bytes) in [("\n", "0 bytes"), ("fifteen-bytes-x", "15 bytes"), ("sixteen bytes xx", "16 bytes")] {
            let error = in_file(text).unwrap_err().to_string();
            assert!(error.contains(bytes) && error.contains("secret") && !error.contains("teen"), "{error}");
        }
        let missing = Admin { secret_file: Some("/does/not/exist".into()), ..Admin::default() };
        assert!(secret(&missing).unwrap_err().to_string().contains("/does/not/exist"));
    }
}
