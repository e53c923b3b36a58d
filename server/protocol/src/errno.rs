//! The one table of error codes that clients see.
//!
//! Every refusal, whatever layer it comes from, ends as one of these. Each code is final (trying again changes
//! nothing) or retryable (`retry_ms` says when).

use std::time::Duration;
use strum::{EnumCount, FromRepr, VariantArray};

/// What a reply's or a NOTICE's `errno` says. The numbers are part of the wire contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumCount, FromRepr, VariantArray)]
#[repr(u8)]
pub enum Errno {
    Done = 0,
    /// Wrong id, name or password: deliberately one code and one text for all three.
    WrongCredentials = 1,
    /// Already logged in elsewhere, or on this connection.
    LoggedIn = 2,
    NotLoggedIn = 3,
    /// Says which field, and what was expected.
    Malformed = 4,
    NoSuchUser = 5,
    NoSuchGroup = 6,
    /// Not a friend, not a member, someone else's `id`.
    NotAllowed = 7,
    Exists = 8,
    TooLarge = 9,
    TooFast = 10,
    /// Not accepted, or unknown whether it was: send it again with the same `mid`.
    Unavailable = 11,
    /// This `mid` was used for a different message.
    MidReused = 12,
    /// Replaced by a newer login.
    Replaced = 13,
    Draining = 14,
    SlowReader = 15,
    Idle = 16,
    UnknownMsgid = 17,
    /// An operator ended the session.
    EndedByOperator = 18,
    /// An operator disabled the account.
    AccountDisabled = 19,
}

/// All codes, in order of their numbers.
pub const ALL: [Errno; Errno::COUNT] = *Errno::VARIANTS.first_chunk().expect("as many as there are");

impl Errno {
    /// The number on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The code with this number, if there is one.
    pub fn from_code(code: u64) -> Option<Self> {
        Errno::from_repr(u8::try_from(code).ok()?)
    }

    /// Whether the same request can succeed later without anything being changed.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Errno::TooFast | Errno::Unavailable | Errno::Draining | Errno::SlowReader | Errno::Idle)
    }

    /// The words for a person, where the place that failed has none of its own.
    pub const fn text(self) -> &'static str {
        match self {
            Errno::Done => "done",
            Errno::WrongCredentials => "wrong id, name or password",
            Errno::LoggedIn => "already logged in elsewhere",
            Errno::NotLoggedIn => "not logged in",
            Errno::Malformed => "malformed",
            Errno::NoSuchUser => "no such user",
            Errno::NoSuchGroup => "no such group",
            Errno::NotAllowed => "not allowed",
            Errno::Exists => "exists already",
            Errno::TooLarge => "too large",
            Errno::TooFast => "too fast",
            Errno::Unavailable => "unavailable for now, send it again",
            Errno::MidReused => "this mid was used for a different message",
            Errno::Replaced => "replaced by a newer login",
            Errno::Draining => "this node is draining, reconnect",
            Errno::SlowReader => "reading too slowly",
            Errno::Idle => "idle for too long",
            Errno::UnknownMsgid => "unknown msgid",
            Errno::EndedByOperator => "ended by an operator",
            Errno::AccountDisabled => "this account is disabled",
        }
    }
}

/// A refusal: what `errno`, `errmsg` and `retry_ms` of a reply or NOTICE are made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("errno {}: {text}", errno.code())]
pub struct Failure {
    pub errno: Errno,
    pub text: std::borrow::Cow<'static, str>,
    pub retry: Option<Duration>,
}

impl Failure {
    pub fn new(errno: Errno, text: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Failure { errno, text: text.into(), retry: None }
    }

    /// The same failure with a hint when to try again.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry = Some(wait);
        self
    }

    /// Errno 4 for one field: which, and what was expected.
    pub fn field(name: &str, expected: &str) -> Self {
        Failure::new(Errno::Malformed, format!("field {name}: expected {expected}"))
    }

    /// `retry_ms` as it goes on the wire: rounded up, since a moment too early is refused again.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry.map(|wait| u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Failure::new(errno, errno.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_match_their_place_in_the_table() {
        for (place, errno) in ALL.iter().enumerate() {
            assert_eq!(usize::from(errno.code()), place);
            assert_eq!(Errno::from_code(place as u64), Some(*errno));
        }
        assert_eq!(Errno::from_code(20), None);
        assert_eq!(Errno::from_code(u64::MAX), None);
    }

    #[test]
    fn waiting_as_long_as_said_is_never_too_short() {
        for (wait, expected) in [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(7), 7),
            (Duration::from_micros(7_001), 8),
            (Duration::MAX, u64::MAX),
        ] {
            let failure = Failure::from(Errno::TooFast).retry_after(wait);

            assert_eq!(failure.retry_ms(), Some(expected), "{wait:?}");
        }
    }
}
