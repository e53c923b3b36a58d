//! How a session ends that this side ends: with a logout that is answered, or, in the classic dialects, by hanging up
//! such that nothing is lost on the way.

use super::{End, LEAVE_TIMEOUT, Parting, Session};
use crate::dialect::Ask;
use crate::user::state::UNANSWERED_PAUSE;
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::{Poll, ready};

impl Session<'_> {
    /// Ends the session as `end` has it.
    pub(super) async fn part(&mut self, end: &End) -> Parting {
        let logout = matches!(end, End::Wished);
        let is_ours = logout || matches!(end, End::Broken);
        match is_ours && !self.run.wire.answers(&Ask::Logout) {
            true => self.hang_up(logout).await,
            false if logout => self.leave().await,
            // Dropped as it stands.
            false => Parting::Unanswered,
        }
    }

    /// Ends a session whose end the server does not confirm: says no more, and reads on until the server closes as
    /// well. What it sent before counts; closing at once would destroy that unseen, and the loss would be ours.
    async fn hang_up(&mut self, logout: bool) -> Parting {
        self.run.withdraw(self.user);
        if logout {
            // What was said last must not reach the server in one piece with the logout.
            if let Ok(closed) = tokio::time::timeout(UNANSWERED_PAUSE, self.read_to_end(false)).await {
                return closed;
            }
            self.run.say_goodbye(self.user);
        }
        let closed = tokio::time::timeout(LEAVE_TIMEOUT, self.read_to_end(true)).await;
        if closed.is_err() {
            self.run.error("hanging up: the server did not close within the time allowed");
        }
        closed.unwrap_or(Parting::Unanswered)
    }

    /// Reads until the connection ends, and with `shut` says that nothing more will come once all is written. Confirmed
    /// if the server closed in good order.
    async fn read_to_end(&mut self, shut: bool) -> Parting {
        let mut is_shut = !shut;
        poll_fn(|cx| {
            loop {
                self.user.paused.store(false, Ordering::Release);
                match self.read_and_write(cx) {
                    Ok(Poll::Ready(())) => {}
                    Ok(Poll::Pending) if is_shut || !self.user.has_written_all() => return Poll::Pending,
                    Ok(Poll::Pending) => {
                        let Some(link) = &mut self.link else { return Poll::Ready(Parting::Broken) };
                        is_shut = ready!(link.poll_shutdown(cx)).is_ok();
                        if !is_shut {
                            return Poll::Ready(Parting::Broken);
                        }
                    }
                    Err(End::Closed) => return Poll::Ready(Parting::Confirmed),
                    Err(_) => return Poll::Ready(Parting::Broken),
                }
            }
        })
        .await
    }
}
