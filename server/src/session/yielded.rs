//! Who waits until another node has given up a user's session.
//!
//! One by one: where thousands wait, the end of one session must not send all of them to the database.

use super::per_user::{PerUser, Place};
use chat_protocol::conversation::UserId;
use tokio::sync::Notify;

#[derive(Default)]
pub struct Yielded {
    waiting: PerUser<Notify>,
}

impl Yielded {
    /// To be told when the user's session is given up elsewhere.
    pub fn wait_for(&self, user: UserId) -> Place<'_, Notify> {
        self.waiting.place(user)
    }

    pub fn tell(&self, user: UserId) {
        if let Some(told) = self.waiting.get(user) {
            told.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use tokio::time::{Duration, timeout};

    #[tokio::test(start_paused = true)]
    async fn only_who_waits_for_that_user_is_told() {
        let yielded = Yielded::default();
        let (ann, also_ann, bob) = (yielded.wait_for(1), yielded.wait_for(1), yielded.wait_for(2));
        let (mut for_ann, mut for_her_too) = (pin!(ann.notified()), pin!(also_ann.notified()));
        let mut for_bob = pin!(bob.notified());
        for_ann.as_mut().enable();
        for_her_too.as_mut().enable();
        for_bob.as_mut().enable();

        yielded.tell(1);

        for_ann.await;
        for_her_too.await;
        assert!(timeout(Duration::from_secs(1), for_bob).await.is_err());
    }

    #[test]
    fn nobody_is_remembered_who_waits_no_more() {
        let yielded = Yielded::default();
        let (one, other) = (yielded.wait_for(1), yielded.wait_for(1));
        drop(one);
        assert_eq!(yielded.waiting.len(), 1);
        drop(other);
        assert_eq!(yielded.waiting.len(), 0);
    }
}
