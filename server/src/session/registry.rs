//! Who is online on this node, and whether they may be pushed to.
//!
//! Nobody is pushed anything while the lease is in doubt: then all sessions are suspended, and those whose login was
//! under way meanwhile begin suspended.

use super::Session;
use super::catch_up::CatchUp;
use super::turns::{Turn, Turns};
use crate::failpoint::{self, Failpoint};
use crate::membership::lease::Lease;
use crate::storage::Release;
use chat_protocol::conversation::UserId;
use dashmap::DashMap;
use parking_lot::Mutex;
use std::sync::Arc;

/// Sessions remembered as new between two renewals, far more than begin in that time. Logins beyond it are not looked
/// for.
const MOST_NEW: usize = 65_536;

pub struct Registry {
    sessions: DashMap<UserId, Arc<Session>>,
    /// Begun since [`Registry::take_new`].
    new: Mutex<Vec<Release>>,
    logins: Turns,
    lease: Arc<Lease>,
    catch_up: CatchUp,
    /// Held while sessions are suspended or resumed, so that one does not pass the other by.
    suspended: Mutex<bool>,
}

impl Registry {
    pub fn new(lease: Arc<Lease>, catch_up: CatchUp) -> Self {
        let (sessions, new, logins) = (DashMap::default(), Mutex::default(), Turns::default());
        Registry { sessions, new, logins, lease, catch_up, suspended: Mutex::new(false) }
    }

    /// Held while a login of the user is under way.
    pub async fn login_turn(&self, user: UserId) -> Turn<'_> {
        self.logins.wait(user).await
    }

    pub fn get(&self, user: UserId) -> Option<Arc<Session>> {
        self.sessions.get(&user).map(|session| session.clone())
    }

    pub fn is_here(&self, user: UserId) -> bool {
        self.sessions.contains_key(&user)
    }

    /// Runs `look` on the user's session without counting a reference to it.
    pub fn with<T>(&self, user: UserId, look: impl FnOnce(&Arc<Session>) -> T) -> Option<T> {
        self.sessions.get(&user).map(|session| look(&session))
    }

    pub fn insert(&self, session: Arc<Session>) {
        let release = session.release();
        self.sessions.insert(session.user, session);
        // Only now: whoever takes it finds it.
        let mut new = self.new.lock();
        if new.len() < MOST_NEW {
            new.push(release);
        }
    }

    /// Those that have begun since the last time.
    pub fn take_new(&self) -> Vec<Release> {
        std::mem::take(&mut *self.new.lock())
    }

    /// Removes this very session; a newer one of the same user stays.
    pub fn remove(&self, session: &Session) {
        self.sessions.remove_if(&session.user, |_, current| current.epoch == session.epoch);
    }

    /// In the order of the users' numbers.
    pub fn all(&self) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = self.sessions.iter().map(|entry| entry.value().clone()).collect();
        all.sort_unstable_by_key(|session| session.user);
        all
    }

    /// In ascending order.
    pub fn users(&self) -> Vec<UserId> {
        self.all().iter().map(|session| session.user).collect()
    }

    /// LOGIN_ACK is queued: makes the session live.
    pub fn go_live(&self, session: &Arc<Session>) {
        let suspended = self.suspended.lock();
        let behind = session.go_live();
        if *suspended {
            // The lease ran out between the login and now.
            session.suspend();
        }
        drop(suspended);
        self.catch_up.request_all(session, behind);
    }

    /// The session's queue has room again.
    pub fn resume(&self, session: &Arc<Session>) {
        self.catch_up.request_all(session, session.resume_stalled());
    }

    /// Stops pushing while the lease does not hold. True if it does not.
    pub fn suspend_unless_leased(&self) -> bool {
        if self.lease.is_held() {
            return false;
        }
        self.suspend_all();
        true
    }

    /// Stops pushing, until [`Registry::resume_all`].
    pub fn suspend_all(&self) {
        let mut suspended = self.suspended.lock();
        if !std::mem::replace(&mut *suspended, true) {
            tracing::warn!("the lease is in doubt: sessions are suspended");
            self.all().iter().for_each(|session| session.suspend());
        }
    }

    pub fn is_suspended(&self) -> bool {
        *self.suspended.lock()
    }

    /// The lease holds again: sessions go on, but for those that are closing.
    pub fn resume_all(&self) {
        let mut suspended = self.suspended.lock();
        *suspended = false;
        for session in self.all().iter().filter(|session| !session.is_closing()) {
            let behind = session.resume();
            if !failpoint::hits(Failpoint::SessionResumeNothing) {
                self.catch_up.request_all(session, behind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::outbound::Outbound;
    use crate::telemetry::metrics::Metrics;
    use chat_environment::SystemClock;
    use chat_protocol::codec::Codec;
    use chat_protocol::dialect::Dialect;
    use chat_protocol::message::Event;

    #[tokio::test]
    async fn lease_that_returns_starts_no_session_whose_login_is_not_answered() {
        let registry = Registry::new(Arc::default(), CatchUp::new().0);
        let outbound = Arc::new(Outbound::new(65_536, Arc::new(SystemClock), Arc::new(Metrics::alone())));
        outbound.speak(Codec::new(Dialect::Framed, 65_536));
        let session = Arc::new(Session::new(1, "ann".into(), 1, true, true, outbound.clone()));
        let event = Event::FriendRemoved { id: 2, name: "bob".into() };
        registry.insert(session.clone());

        session.suspend();
        registry.resume_all();
        session.tell(&event);
        assert_eq!(outbound.queued_bytes(), 0, "nothing goes before LOGIN_ACK");

        registry.go_live(&session);
        session.tell(&event);
        assert!(outbound.queued_bytes() > 0);
    }
}
