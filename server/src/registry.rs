//! Who is online on this node.

use crate::protocol::conversation::UserId;
use crate::session::Session;
use dashmap::DashMap;
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// Logins of one user on this node take turns; users share this many locks.
const LOGIN_STRIPES: usize = 1_024;

pub struct Registry {
    sessions: DashMap<UserId, Arc<Session>>,
    logins: Box<[Mutex<()>]>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry { sessions: DashMap::new(), logins: (0..LOGIN_STRIPES).map(|_| Mutex::default()).collect() }
    }
}

impl Registry {
    /// Held while a login of the user is under way.
    pub async fn login_turn(&self, user: UserId) -> MutexGuard<'_, ()> {
        self.logins[user as usize % LOGIN_STRIPES].lock().await
    }

    pub fn get(&self, user: UserId) -> Option<Arc<Session>> {
        self.sessions.get(&user).map(|session| session.clone())
    }

    /// Runs `look` on the user's session without counting a reference to it.
    pub fn with<T>(&self, user: UserId, look: impl FnOnce(&Arc<Session>) -> T) -> Option<T> {
        self.sessions.get(&user).map(|session| look(&session))
    }

    pub fn insert(&self, session: Arc<Session>) {
        self.sessions.insert(session.user, session);
    }

    /// Removes this very session; a newer one of the same user stays.
    pub fn remove(&self, session: &Session) {
        self.sessions.remove_if(&session.user, |_, current| current.epoch == session.epoch);
    }

    pub fn all(&self) -> Vec<Arc<Session>> {
        self.sessions.iter().map(|entry| entry.value().clone()).collect()
    }
}
