//! How a session ends: nothing more is pushed, its cursors are saved, its row is freed, and whoever waits for it is
//! told.
//!
//! Where the database does not let that happen now it happens later; until then the session stands in the way of a new
//! login of its user.

use super::Session;
use super::claims::{Claims, Released};
use super::login_reads::LoginReads;
use super::outbound::Outbound;
use super::registry::Registry;
use super::yielded::Yielded;
use crate::bus::Item;
use crate::cluster::EndReason;
use crate::membership::peers::Peers;
use crate::storage::{EndAsked, Release};
use crate::telemetry::metrics::Metrics;
use chat_environment::Tasks;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long it holds that a login waits for a session's end: it may be refused meanwhile. If it waits still, the next
/// renewal of the lease says so.
const HOLDS: Duration = Duration::from_secs(2);

pub struct Endings {
    pub registry: Arc<Registry>,
    pub claims: Claims,
    pub reads: Arc<LoginReads>,
    pub peers: Arc<Peers>,
    pub metrics: Arc<Metrics>,
    pub tasks: Tasks,
    pub yielded: Yielded,
}

impl Endings {
    /// Ends a session. Returns when its row is free, or has been tried once to be.
    pub async fn end(self: &Arc<Self>, session: &Arc<Session>) {
        if !session.has_ended() {
            self.metrics.sessions.dec();
        }
        let marks = session.end();
        match self.claims.release(session.release(), marks).await {
            Released::Done => self.released(session),
            Released::Later(done) => {
                let (endings, session) = (self.clone(), session.clone());
                self.tasks.spawn_short("freeing a session", async move {
                    let _ = done.await;
                    endings.released(&session);
                });
            }
        }
    }

    fn released(&self, session: &Session) {
        // Only now: until its cursors are saved, a new login of the user waits for this session.
        self.registry.remove(session);
        session.released();
        if session.is_yielding() {
            self.peers.tell(|| Item::Yielded { user: session.user });
        }
    }

    /// Sessions on this connection, also one whose login was under way.
    pub fn on(&self, outbound: &Arc<Outbound>) -> Vec<Arc<Session>> {
        let mut sessions = self.registry.all();
        sessions.retain(|session| session.is_on(outbound));
        sessions
    }

    /// Another node's client logs in with `takeover`, as the row says if it still waits: this may come late, and
    /// whoever has given up must not end a session.
    pub fn yield_to_who_waits(self: &Arc<Self>, session: Release) {
        if self.session_of(session).is_some_and(|session| session.is_yielding()) {
            return;
        }
        let (endings, now) = (self.clone(), Instant::now());
        self.tasks.spawn_short("yielding", async move {
            match endings.reads.asked.read(session.user).await {
                Ok(Some(asked)) if asked.release == session => endings.give_up(asked, now),
                Ok(_) => {}
                // The next renewal of the lease says the same.
                Err(error) => tracing::debug!(%error, user = session.user, "cannot tell whether a session is to end"),
            }
        });
    }

    /// Another node's client logs in with `takeover`, or an operator wants it: ends the session here, frees its row,
    /// and says so. `as_of`: so it was then, or later.
    pub fn give_up(self: &Arc<Self>, asked: EndAsked, as_of: Instant) {
        if asked.reason == EndReason::LoginElsewhere && as_of.elapsed() > HOLDS {
            return;
        }
        if self.give_up_now(asked) {
            return;
        }
        let (endings, release) = (self.clone(), asked.release);
        self.tasks.spawn_short("yielding", async move {
            // Its login may be just about to show: wait for it.
            let _turn = endings.registry.login_turn(release.user).await;
            if !endings.give_up_now(asked) {
                // A row that no session stands behind: one that could not be freed when its session ended.
                endings.claims.release(release, Vec::new()).await;
                endings.peers.tell(|| Item::Yielded { user: release.user });
            }
        });
    }

    /// Frees a row that is in somebody's way if no session is behind it: a failover that loses the newest commits can
    /// have lost its release.
    pub fn free_if_nobodys(self: &Arc<Self>, release: Release) {
        if self.session_of(release).is_some() {
            return;
        }
        let endings = self.clone();
        self.tasks.spawn_short("freeing a row", async move {
            // Its login may be just about to show: wait for it.
            let _turn = endings.registry.login_turn(release.user).await;
            if endings.session_of(release).is_none() {
                endings.claims.release(release, Vec::new()).await;
            }
        });
    }

    /// Ends the session if it is here; its connection then frees the row and tells the others.
    fn give_up_now(&self, EndAsked { release, reason }: EndAsked) -> bool {
        self.session_of(release).inspect(|session| session.give_up(reason)).is_some()
    }

    /// The session that stands behind this row, if it is here.
    fn session_of(&self, release: Release) -> Option<Arc<Session>> {
        self.registry.get(release.user).filter(|session| session.epoch == release.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{self, LocalPair};
    use crate::node::Node;

    #[tokio::test]
    async fn login_that_waited_a_while_ago_ends_no_session_and_an_order_stands() {
        let node = Node::start(bench::config("sqlite::memory:")).await.expect("a node starts");
        let (context, _pair) = (node.context(), LocalPair::new(&node, 1, 2));
        let session = context.registry.get(1).expect("she is here");
        let long_ago = Instant::now() - 2 * HOLDS;
        let asked = |reason| EndAsked { release: session.release(), reason };

        context.endings.give_up(asked(EndReason::LoginElsewhere), long_ago);
        assert!(!session.is_yielding(), "who waited may have been refused");

        context.endings.give_up(asked(EndReason::Kicked), long_ago);
        assert!(session.is_yielding());
    }
}
