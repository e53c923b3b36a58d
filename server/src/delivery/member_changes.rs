//! Requests that change who is in a conversation, from before they reach the database until it is known what became of
//! them.
//!
//! Such a request can fail and yet have been done, or be done later: its COMMIT may be on its way through a connection
//! that hangs. Its client is then told errno 11. Until the database has told, in a way that waits for such a
//! transaction, nothing of the conversation is pushed to the user's session, and nobody's knowledge of the members is
//! relied on.

use super::Delivery;
use crate::bus::{Item, Moved};
use crate::session::failure::{change_failure, unavailable};
use crate::session::{Delivered, Doubt, Session};
use crate::shutdown::Shutdown;
use crate::storage::{self, End};
use chat_protocol::conversation::Conversation;
use chat_protocol::errno::Failure;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Requests under way, and those of unknown outcome; beyond it errno 11, and the request does not reach the database.
const MAX_CHANGES: usize = 16_384;
/// Those of unknown outcome that are looked at in one moment: each may wait long for a lock, on a connection.
const TRIES_AT_ONCE: usize = 3;
/// Wait after a look that failed, doubled for each further one up to [`LONGEST_RETRY`].
const RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

pub struct MemberChanges {
    delivery: Arc<Delivery>,
    shutdown: Shutdown,
    changes: Arc<Semaphore>,
    tries: Semaphore,
}

impl MemberChanges {
    pub fn new(delivery: Arc<Delivery>, shutdown: Shutdown) -> Self {
        let (changes, tries) = (Arc::new(Semaphore::new(MAX_CHANGES)), Semaphore::new(TRIES_AT_ONCE));
        MemberChanges { delivery, shutdown, changes, tries }
    }

    /// Before the request goes to the database.
    pub fn begin(self: &Arc<Self>, session: &Arc<Session>, conv: Conversation) -> Result<Change, Failure> {
        let permit = self.changes.clone().try_acquire_owned().map_err(|_| unavailable())?;
        let doubt = matches!(conv, Conversation::Group(_)).then(|| session.doubt(conv));
        Ok(Change { all: self.clone(), session: session.clone(), conv, doubt, _permit: permit })
    }
}

/// One request.
pub struct Change {
    all: Arc<MemberChanges>,
    session: Arc<Session>,
    conv: Conversation,
    /// Of a group only: what waits between two users is delivered whether they are friends or not.
    doubt: Option<Doubt>,
    _permit: OwnedSemaphorePermit,
}

/// What the database says of the user that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Became a member; what comes after this end is for it. With that the members are at `version`.
    Joined { end: End, version: u64 },
    /// Was a member already.
    Stayed,
    /// Has left, and the members are at `version`.
    Left { version: u64 },
    /// Was none.
    Absent,
    /// Became a friend, or no longer is one.
    Friends(bool),
    /// Was a friend already, or was none.
    FriendsAlready(bool),
}

impl Change {
    /// The database has answered. When this returns, what the session's client is told next holds.
    pub async fn done(self, outcome: Outcome) {
        let is_settled = self.tell_session(outcome);
        if !self.has_changed(outcome) {
            if !is_settled {
                self.settle_later();
            }
            return;
        }
        let version = self.announce(self.step(outcome)).await;
        if let (Ok(Some(version)), Outcome::Friends(false) | Outcome::FriendsAlready(false)) = (&version, outcome) {
            self.session.relays_from(self.conv, *version);
        }
        if version.is_err() || !is_settled {
            self.settle_later();
        }
    }

    /// The call has failed: it was done, or was not, or will be. Says so for a client.
    pub fn unknown(self, error: storage::Error) -> Failure {
        self.all.delivery.members.doubt(self.conv);
        let failure = change_failure(&self.session, error);
        self.settle_later();
        failure
    }

    /// False if the session cannot tell what it may be pushed.
    fn tell_session(&self, outcome: Outcome) -> bool {
        let Some(doubt) = &self.doubt else { return true };
        let delivery = match outcome {
            Outcome::Joined { end, .. } => self.session.joined(doubt, end),
            Outcome::Stayed => match self.session.stayed(doubt) {
                Some(delivery) => delivery,
                None => return false,
            },
            _ => {
                self.session.left(doubt);
                Delivered::Done
            }
        };
        self.catch_up(delivery);
        true
    }

    /// Whether others are to read the members anew: also where the database is known to say something else than this
    /// node knew, as after an earlier request of unknown outcome.
    fn has_changed(&self, outcome: Outcome) -> bool {
        let user = self.session.user;
        let known = self.all.delivery.members.cached(self.conv);
        let is_member = known.as_ref().map(|audience| audience.members.binary_search(&user).is_ok());
        let is_open = known.as_ref().map(|audience| audience.open);
        match outcome {
            Outcome::Joined { .. } | Outcome::Left { .. } | Outcome::Friends(_) => true,
            Outcome::Stayed => is_member == Some(false),
            Outcome::Absent => is_member == Some(true),
            Outcome::FriendsAlready(are_friends) => is_open.is_some_and(|is_open| is_open != are_friends),
        }
    }

    /// What the request did to the members, and the version they are at since.
    fn step(&self, outcome: Outcome) -> Option<(u64, Moved)> {
        match outcome {
            Outcome::Joined { version, .. } => Some((version, Moved::Joined(self.session.user))),
            Outcome::Left { version } => Some((version, Moved::Left(self.session.user))),
            _ => None,
        }
    }

    /// The members or the openness changed: everyone follows the step or reads them again. Returns the version they
    /// are at now. An error: only this node knows that it knows nothing.
    async fn announce(&self, step: Option<(u64, Moved)>) -> storage::Result<Option<u64>> {
        let Delivery { members, peers, .. } = self.all.delivery.as_ref();
        let conv = self.conv;
        if let Some((version, moved)) = step {
            peers.tell(|| Item::Changed { conv, version, moved: Some(moved) });
            if members.moved(conv, version, moved) {
                return Ok(Some(version));
            }
        }
        members.doubt(conv);
        let version = members.load(conv).await?.map(|audience| audience.version);
        if let (None, Some(version)) = (step, version) {
            peers.tell(|| Item::Changed { conv, version, moved: None });
        }
        Ok(version)
    }

    fn settle_later(self) {
        let tasks = self.all.delivery.environment.tasks.clone();
        tasks.spawn_short("membership", self.settle());
    }

    async fn settle(self) {
        let mut wait = RETRY;
        loop {
            match self.try_settle().await {
                Ok(()) => return,
                // Once: a database that is gone leaves many of these.
                Err(error) if wait == RETRY => {
                    tracing::warn!(%error, conv = %self.conv, "cannot tell who is in a conversation, trying on");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.all.shutdown.forced() => return,
            }
            wait = (wait * 2).min(LONGEST_RETRY);
        }
    }

    /// Also where the session has ended meanwhile: other nodes still have to hear of it.
    async fn try_settle(&self) -> storage::Result<()> {
        let Ok(_turn) = self.all.tries.acquire().await else { return Ok(()) };
        let read_at = Instant::now();
        let settled = self.all.delivery.storage.settled(self.conv, self.session.user).await?;
        if let Some(doubt) = &self.doubt {
            let position = settled.as_ref().and_then(|settled| settled.position);
            self.catch_up(self.session.settled(doubt, position));
        }
        let Some(settled) = settled else { return Ok(()) };
        let version = settled.audience.version;
        if !settled.audience.open {
            self.session.relays_from(self.conv, version);
        }
        self.all.delivery.members.learn(self.conv, settled.audience, read_at);
        self.all.delivery.peers.tell(|| Item::Changed { conv: self.conv, version, moved: None });
        Ok(())
    }

    fn catch_up(&self, delivery: Delivered) {
        if delivery == Delivered::Behind {
            self.all.delivery.catch_up.request(self.session.clone(), self.conv);
        }
    }
}
