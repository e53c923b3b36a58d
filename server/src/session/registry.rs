//! Who is online on this node.

use crate::session::Session;
use crate::session::turns::{Turn, Turns};
use chat_protocol::conversation::UserId;
use dashmap::DashMap;
use std::sync::Arc;

#[derive(Default)]
pub struct Registry {
    sessions: DashMap<UserId, Arc<Session>>,
    logins: Turns,
}

impl Registry {
    /// Held while a login of the user is under way.
    pub async fn login_turn(&self, user: UserId) -> Turn<'_> {
        self.logins.wait(user).await
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
