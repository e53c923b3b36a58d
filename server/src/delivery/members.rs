//! Who gets what is said in each conversation, as last read from the database.
//!
//! An entry is used under the `members_version` it was read with: a commit or an envelope that names another version
//! has it read again, so a stale entry can delay nothing and deliver to nobody wrong. Where no version is named, which
//! is so for messages that are relayed, an entry is only used while it is known to hold ([`Members::trusted`]).
//!
//! Who joins and leaves is followed step by step, for some seconds; then the members are read anew, whatever they are
//! believed to be.
//!
//! A read that began before a change, or that was answered by a replica which lags, may end after the change is known.
//! So an entry stays behind when it is dropped, and says what is too old to be kept or returned.

use crate::bus::Moved;
use crate::delivery::pulse::{BELIEVED, Pulse};
use crate::storage::{self, Audience, Error, Storage};
use chat_protocol::conversation::{Conversation, Target, UserId};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::Who;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Place;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Member ids kept in all, entries counting as some; beyond it the cache starts afresh.
const MAX_WEIGHT: usize = 8_000_000;
const ENTRY_WEIGHT: usize = 4;
/// How often members are read again that turn out to be older than what is known.
const READS: u32 = 3;
/// Versions only grow, but for a database that has lost its newest commits in a failover: what was read so long after
/// the newest known version counts, whatever its own.
const VERSION_KEPT: Duration = Duration::from_secs(10);
/// Steps of one conversation's members that may wait for one before them, which another node tells.
const MAX_AHEAD: u64 = 64;

pub struct Members {
    cache: DashMap<Conversation, Entry>,
    weight: AtomicUsize,
    storage: Arc<dyn Storage>,
    pub pulse: Arc<Pulse>,
}

struct Entry {
    /// Older versions are out of date.
    version: u64,
    /// When that became known.
    since: Instant,
    state: State,
}

enum State {
    Known {
        audience: Audience,
        /// When the read began.
        read_at: Instant,
        /// Later steps that are known, with the versions that they lead to: the one to the next is not among them.
        ahead: BTreeMap<u64, Moved>,
    },
    /// It has to be read anew, and by a read that begins later than this.
    Dropped { at: Option<Instant> },
}

impl Entry {
    fn known(audience: Audience, read_at: Instant) -> Self {
        let version = audience.version;
        Entry { version, since: read_at, state: State::Known { audience, read_at, ahead: BTreeMap::new() } }
    }

    fn audience(&self) -> Option<&Audience> {
        match &self.state {
            State::Known { audience, .. } => Some(audience),
            State::Dropped { .. } => None,
        }
    }

    fn weight(&self) -> usize {
        ENTRY_WEIGHT + self.audience().map_or(0, |audience| audience.members.len())
    }

    /// See [`Members::moved`].
    fn follow(&mut self, version: u64, moved: Moved, now: Instant) -> bool {
        let State::Known { audience, read_at, ahead } = &mut self.state else { return false };
        if version > self.version + MAX_AHEAD || now >= *read_at + VERSION_KEPT {
            return false;
        }
        if version > self.version {
            ahead.insert(version, moved);
        }
        while let Some(moved) = ahead.remove(&(self.version + 1)) {
            (audience.version, audience.members) = (audience.version + 1, moved.after(&audience.members));
            (self.version, self.since) = (audience.version, now);
        }
        true
    }

    /// Whether an audience read then says more than is known.
    fn yields_to(&self, audience: &Audience, read_at: Instant) -> bool {
        if audience.version < self.version && read_at < self.since + VERSION_KEPT {
            return false;
        }
        match self.state {
            State::Known { read_at: known, .. } => audience.version > self.version || read_at >= known,
            State::Dropped { at } => at.is_none_or(|at| read_at > at),
        }
    }
}

impl Members {
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Members { cache: DashMap::new(), weight: AtomicUsize::new(0), storage, pulse: Arc::default() }
    }

    /// The newest known, which need not be how it is now.
    pub fn cached(&self, conv: Conversation) -> Option<Audience> {
        self.cache.get(&conv).and_then(|entry| entry.audience().cloned())
    }

    /// The audience if it is known to be so now, or to have been less than [`BELIEVED`] ago and nothing was lost since.
    pub fn trusted(&self, conv: Conversation, now: Instant, bus_is_connected: bool) -> Option<Audience> {
        let entry = self.cache.get(&conv)?;
        let State::Known { audience, read_at, ahead } = &entry.state else { return None };
        if !ahead.is_empty() {
            return None;
        }
        let is_covered = bus_is_connected && self.pulse.covers(*read_at, now);
        let is_young = now < *read_at + BELIEVED && self.pulse.is_unbroken_since(*read_at);
        (is_covered || is_young).then(|| audience.clone())
    }

    /// The audience under exactly this version if it is cached, else as the database has it now. `None`: no such
    /// conversation.
    pub async fn under(&self, conv: Conversation, version: u64) -> storage::Result<Option<Audience>> {
        match self.cached(conv) {
            Some(audience) if audience.version == version => Ok(Some(audience)),
            _ => {
                self.changed(conv, version);
                self.load(conv).await
            }
        }
    }

    /// Cached under whatever version, else read.
    pub async fn any(&self, conv: Conversation) -> storage::Result<Option<Audience>> {
        match self.cached(conv) {
            Some(audience) => Ok(Some(audience)),
            None => self.load(conv).await,
        }
    }

    /// Errno 5, 6 or 7: why a user may not post in a conversation, or read it.
    pub async fn why_not(&self, conv: Conversation, user: UserId) -> storage::Result<Failure> {
        Ok(match conv.target_from(user) {
            Target::Group(_) => match self.any(conv).await? {
                None => Errno::NoSuchGroup.into(),
                Some(_) => Failure::new(Errno::NotAllowed, "not a member of this group"),
            },
            Target::User(other) => match self.storage.account(&Who::Id(other)).await? {
                None => Errno::NoSuchUser.into(),
                Some(_) => Failure::new(Errno::NotAllowed, "not a friend"),
            },
        })
    }

    pub async fn load(&self, conv: Conversation) -> storage::Result<Option<Audience>> {
        Ok(self.load_all([conv]).await?.remove(&conv))
    }

    /// Reads many, the direct conversations together; returns those that exist.
    ///
    /// # Errors
    /// Also where the database keeps answering what is out of date.
    pub async fn load_all(
        &self,
        convs: impl IntoIterator<Item = Conversation>,
    ) -> storage::Result<BTreeMap<Conversation, Audience>> {
        let mut wanted: Vec<Conversation> = convs.into_iter().collect();
        let mut loaded = BTreeMap::new();
        for _ in 0..READS {
            let read_at = Instant::now();
            let read = self.read(&wanted).await?;
            wanted.clear();
            for (conv, audience) in read {
                match self.learn(conv, audience, read_at) {
                    Some(newest) => drop(loaded.insert(conv, newest)),
                    None => wanted.push(conv),
                }
            }
            if wanted.is_empty() {
                return Ok(loaded);
            }
        }
        Err(Error::Unavailable(format!("the members of {} conversations are read out of date", wanted.len())))
    }

    async fn read(&self, convs: &[Conversation]) -> storage::Result<BTreeMap<Conversation, Audience>> {
        let (direct, groups): (Vec<_>, Vec<_>) =
            convs.iter().partition(|conv| matches!(conv, Conversation::Direct(..)));
        let mut read = BTreeMap::new();
        if !direct.is_empty() {
            read.extend(self.storage.audiences(&direct).await?);
        }
        for group in groups {
            // Any may be large.
            read.extend(self.storage.audiences(&[group]).await?);
        }
        Ok(read)
    }

    /// Keeps an audience, whose read began at `read_at`, unless a newer one is known. Returns the newest; `None` where
    /// it is only known that this is not the one.
    pub fn learn(&self, conv: Conversation, audience: Audience, read_at: Instant) -> Option<Audience> {
        self.make_room(audience.members.len());
        let mut entry = match self.cache.entry(conv) {
            Place::Occupied(place) => place.into_ref(),
            Place::Vacant(place) => {
                self.weight.fetch_add(ENTRY_WEIGHT + audience.members.len(), Ordering::Relaxed);
                return place.insert(Entry::known(audience, read_at)).audience().cloned();
            }
        };
        if entry.yields_to(&audience, read_at) {
            self.replace(&mut entry, Entry::known(audience, read_at));
        }
        entry.audience().cloned()
    }

    /// Someone joined or left, which led to `version`. False where that says nothing, since the members before it are
    /// not known, or were read too long ago.
    pub fn moved(&self, conv: Conversation, version: u64, moved: Moved) -> bool {
        let Some(mut entry) = self.cache.get_mut(&conv) else { return false };
        let weight = entry.weight();
        let is_followed = entry.follow(version, moved, Instant::now());
        self.weight.fetch_add(entry.weight(), Ordering::Relaxed);
        self.weight.fetch_sub(weight, Ordering::Relaxed);
        is_followed
    }

    /// The conversation is at `version` now: drops what is older.
    pub fn outdated(&self, conv: Conversation, version: u64) {
        if let Some(mut entry) = self.cache.get_mut(&conv).filter(|entry| entry.version < version) {
            self.replace(&mut entry, Entry { version, since: Instant::now(), state: State::Dropped { at: None } });
        }
    }

    /// The same, and remembers it although there is nothing to drop: a read may be under way, or lag behind.
    pub fn changed(&self, conv: Conversation, version: u64) {
        self.make_room(0);
        self.drop_entry(conv, |known| known < version, version, None);
    }

    /// The conversation may have changed just now: whatever read began before is out of date.
    pub fn doubt(&self, conv: Conversation) {
        self.make_room(0);
        self.drop_entry(conv, |_| true, 0, Some(Instant::now()));
    }

    /// All may be other than they were known to be.
    pub fn doubt_all(&self) {
        let now = Instant::now();
        for mut entry in self.cache.iter_mut() {
            let (version, since) = (entry.version, entry.since);
            self.replace(&mut entry, Entry { version, since, state: State::Dropped { at: Some(now) } });
        }
        self.pulse.broken(now);
    }

    /// The newest version that is known of each.
    pub fn versions(&self) -> Vec<(Conversation, u64)> {
        self.cache.iter().map(|entry| (*entry.key(), entry.version)).collect()
    }

    fn drop_entry(&self, conv: Conversation, if_at: impl Fn(u64) -> bool, version: u64, at: Option<Instant>) {
        let dropped = |version| Entry { version, since: Instant::now(), state: State::Dropped { at } };
        match self.cache.entry(conv) {
            Place::Occupied(mut place) if if_at(place.get().version) => {
                let version = version.max(place.get().version);
                self.replace(place.get_mut(), dropped(version));
            }
            Place::Occupied(_) => {}
            Place::Vacant(place) => {
                self.weight.fetch_add(ENTRY_WEIGHT, Ordering::Relaxed);
                place.insert(dropped(version));
            }
        }
    }

    fn replace(&self, entry: &mut Entry, by: Entry) {
        self.weight.fetch_add(by.weight(), Ordering::Relaxed);
        self.weight.fetch_sub(entry.weight(), Ordering::Relaxed);
        *entry = by;
    }

    fn make_room(&self, members: usize) {
        if self.weight.load(Ordering::Relaxed) + members > MAX_WEIGHT {
            self.cache.clear();
            self.weight.store(0, Ordering::Relaxed);
            // Reads under way may miss a change that only the cache remembered.
            self.pulse.broken(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Database;

    const CONV: Conversation = Conversation::Group(5);
    const STEP: Duration = Duration::from_millis(10);

    async fn known() -> (Members, Instant) {
        let database = Database { url: "sqlite::memory:".into(), ..Database::default() };
        (Members::new(storage::open(&database).await.expect("SQLite opens")), Instant::now())
    }

    fn audience(version: u64) -> Audience {
        Audience { version, members: [version].into(), open: true }
    }

    #[tokio::test]
    async fn read_that_began_before_a_change_is_not_kept_after_it() {
        let (members, start) = known().await;

        members.changed(CONV, 3);
        assert_eq!(members.learn(CONV, audience(2), start), None);
        assert_eq!(members.cached(CONV), None);
        assert_eq!(members.learn(CONV, audience(3), start), Some(audience(3)));

        // Nobody could say which version it is at now.
        members.doubt(CONV);
        assert_eq!(members.learn(CONV, audience(3), start), None);
        assert_eq!(members.learn(CONV, audience(3), Instant::now() + STEP), Some(audience(3)));
    }

    #[tokio::test]
    async fn older_version_neither_replaces_a_newer_nor_is_returned() {
        let (members, start) = known().await;
        members.learn(CONV, audience(3), start);

        assert_eq!(members.learn(CONV, audience(2), start + STEP), Some(audience(3)));
        members.outdated(CONV, 3);
        assert_eq!(members.cached(CONV), Some(audience(3)));
        members.outdated(CONV, 4);
        assert_eq!(members.learn(CONV, audience(3), start + STEP), None);
    }

    #[tokio::test]
    async fn steps_are_followed_in_the_order_of_their_versions() {
        let (members, start) = known().await;
        tokio::time::pause();
        assert!(!members.moved(CONV, 2, Moved::Joined(7)), "nothing is known");
        members.learn(CONV, audience(1), start);
        let ids = || members.cached(CONV).map(|audience| (audience.version, audience.members.to_vec()));

        assert!(members.moved(CONV, 2, Moved::Joined(7)));
        assert_eq!(ids(), Some((2, vec![1, 7])));
        assert!(members.moved(CONV, 4, Moved::Left(1)));
        assert_eq!(ids(), Some((2, vec![1, 7])));
        assert_eq!(members.trusted(CONV, start, true), None, "a step is missing");
        assert!(members.moved(CONV, 3, Moved::Joined(3)));
        assert_eq!(ids(), Some((4, vec![3, 7])));
        assert!(members.moved(CONV, 2, Moved::Joined(7)), "known already");
        assert_eq!(ids(), Some((4, vec![3, 7])));
        assert!(members.trusted(CONV, start, true).is_some());

        assert!(!members.moved(CONV, 4 + MAX_AHEAD + 1, Moved::Joined(9)), "too many are missing");
        tokio::time::advance(VERSION_KEPT).await;
        assert!(!members.moved(CONV, 5, Moved::Joined(9)), "read too long ago");
        members.doubt(CONV);
        assert!(!members.moved(CONV, 5, Moved::Joined(9)), "in doubt");
    }

    #[tokio::test]
    async fn database_that_lost_its_newest_commits_is_believed_in_the_end() {
        let (members, start) = known().await;
        members.changed(CONV, 9);

        assert_eq!(members.learn(CONV, audience(2), start + VERSION_KEPT * 2), Some(audience(2)));
    }

    #[tokio::test]
    async fn audience_is_trusted_for_a_second_or_as_long_as_the_bus_tells_of_every_change() {
        let (members, start) = known().await;
        let (soon, late) = (start + BELIEVED - STEP, start + BELIEVED * 60);
        members.learn(CONV, audience(1), start);

        assert!(members.trusted(CONV, soon, false).is_some());
        assert_eq!(members.trusted(CONV, late, false), None, "no bus");
        assert!(members.trusted(CONV, late, true).is_some(), "no peers, so nobody else changes anything");
        members.pulse.set_peers(&["silent".into()], start);
        assert!(members.trusted(CONV, soon, true).is_some());
        assert_eq!(members.trusted(CONV, late, true), None, "a peer that nothing is heard of");

        // Read again, it counts from then.
        members.learn(CONV, audience(1), late);
        assert!(members.trusted(CONV, late + STEP, true).is_some());
    }

    #[tokio::test]
    async fn cache_stays_within_its_weight() {
        let (members, start) = known().await;
        let many: Arc<[u64]> = (0..1_000_000).collect();
        for group in 0..20 {
            let audience = Audience { version: 1, members: many.clone(), open: true };
            members.learn(Conversation::Group(group), audience, start);
            assert!(members.weight.load(Ordering::Relaxed) <= MAX_WEIGHT);
        }
        // Replacing adds nothing.
        for version in 2..20 {
            members.learn(Conversation::Group(19), Audience { version, members: many.clone(), open: true }, start);
        }
        assert!(members.cached(Conversation::Group(18)).is_some());
    }
}
