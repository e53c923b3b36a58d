//! What is in force now, and may be replaced while others use it.

use parking_lot::RwLock;
use std::sync::Arc;

/// A value that is read often and replaced seldom. Whoever has taken it keeps what it was.
#[derive(Debug, Default)]
pub struct Current<T>(RwLock<Arc<T>>);

impl<T> Current<T> {
    pub fn new(value: T) -> Self {
        Current(RwLock::new(Arc::new(value)))
    }

    pub fn get(&self) -> Arc<T> {
        self.0.read().clone()
    }

    pub fn set(&self, value: T) {
        *self.0.write() = Arc::new(value);
    }
}
