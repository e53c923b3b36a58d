//! What exists for a user only while somebody has a place there, so there is no more of it than is under way.

use chat_protocol::conversation::UserId;
use dashmap::DashMap;
use std::ops::Deref;
use std::sync::Arc;

#[derive(Default)]
pub struct PerUser<T> {
    places: DashMap<UserId, Arc<T>>,
}

/// A place at what exists for the user. The last to be dropped removes it.
pub struct Place<'a, T> {
    at: &'a PerUser<T>,
    user: UserId,
    shared: Option<Arc<T>>,
}

impl<T: Default> PerUser<T> {
    pub fn place(&self, user: UserId) -> Place<'_, T> {
        let shared = self.places.entry(user).or_default().clone();
        Place { at: self, user, shared: Some(shared) }
    }
}

impl<T> PerUser<T> {
    /// What exists for the user, if anybody has a place there.
    pub fn get(&self, user: UserId) -> Option<impl Deref<Target = Arc<T>>> {
        self.places.get(&user)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.places.len()
    }
}

impl<T> Deref for Place<'_, T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        self.shared.as_ref().expect("it is there until it is dropped")
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        self.shared = None;
        // References are added under the table's lock only, as `remove_if` holds it: one means that nobody is left.
        self.at.places.remove_if(&self.user, |_, shared| Arc::strong_count(shared) == 1);
    }
}
