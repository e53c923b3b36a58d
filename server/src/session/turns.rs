//! Logins of one user take turns; different users never wait for each other.
//!
//! A lock exists only while somebody holds it or waits for it, so there are no more of them than logins under way.

use super::per_user::{PerUser, Place};
use chat_protocol::conversation::UserId;
use tokio::sync::{Mutex, OwnedMutexGuard};

#[derive(Default)]
pub struct Turns {
    locks: PerUser<Mutex<()>>,
}

/// Ends the turn when it is dropped.
pub struct Turn<'a> {
    /// Dropped before its place is left.
    held: Option<OwnedMutexGuard<()>>,
    place: Place<'a, Mutex<()>>,
}

impl Turns {
    pub async fn wait(&self, user: UserId) -> Turn<'_> {
        // Made before the wait: whoever gives up waiting leaves nothing behind either.
        let mut turn = Turn { held: None, place: self.locks.place(user) };
        turn.held = Some((*turn.place).clone().lock_owned().await);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn only_the_same_user_is_waited_for() {
        let turns = Turns::default();
        let first = turns.wait(1).now_or_never().expect("nobody is there");

        let mut second = Box::pin(turns.wait(1));
        assert!(second.as_mut().now_or_never().is_none());
        for other in 2..10_000 {
            assert!(turns.wait(other).now_or_never().is_some(), "{other} waits for user 1");
        }

        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[test]
    fn locks_exist_only_while_they_are_used() {
        let turns = Turns::default();
        let first = turns.wait(1).now_or_never().expect("nobody is there");
        let mut second = Box::pin(turns.wait(1));
        let mut third = Box::pin(turns.wait(1));
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        assert_eq!(turns.locks.len(), 1);

        drop(second);
        drop(first);
        let third = third.now_or_never().expect("whoever gave up does not hold up the next");
        assert!(turns.wait(1).now_or_never().is_none());
        drop(third);

        assert_eq!(turns.locks.len(), 0);
    }

    #[test]
    fn whoever_gives_up_after_the_last_turn_leaves_no_lock() {
        let turns = Turns::default();
        let first = turns.wait(1).now_or_never().expect("nobody is there");
        let mut second = Box::pin(turns.wait(1));
        assert!(second.as_mut().now_or_never().is_none());

        drop(first);
        drop(second);

        assert_eq!(turns.locks.len(), 0);
    }
}
