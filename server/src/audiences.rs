//! Who gets what is said in each conversation, as last read from the database.
//!
//! An entry is used under the `members_version` it was read with: a commit or an envelope that names another version has
//! it read again, so a stale entry can delay nothing and deliver to nobody wrong.

use crate::protocol::conversation::Conversation;
use crate::storage::{self, Audience, Storage};
use dashmap::DashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Member ids kept in all; beyond it the cache starts afresh.
const MAX_MEMBERS: usize = 8_000_000;

pub struct Audiences {
    cache: DashMap<Conversation, Audience>,
    members: AtomicUsize,
    storage: Arc<dyn Storage>,
}

impl Audiences {
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Audiences { cache: DashMap::new(), members: AtomicUsize::new(0), storage }
    }

    pub fn cached(&self, conv: Conversation) -> Option<Audience> {
        self.cache.get(&conv).map(|audience| audience.clone())
    }

    /// The audience under exactly this version if it is cached, else as the database has it now. `None`: no such
    /// conversation.
    pub async fn under(&self, conv: Conversation, version: u64) -> storage::Result<Option<Audience>> {
        match self.cached(conv) {
            Some(audience) if audience.version == version => Ok(Some(audience)),
            _ => self.load(conv).await,
        }
    }

    /// Cached under whatever version, else read.
    pub async fn any(&self, conv: Conversation) -> storage::Result<Option<Audience>> {
        match self.cached(conv) {
            Some(audience) => Ok(Some(audience)),
            None => self.load(conv).await,
        }
    }

    pub async fn load(&self, conv: Conversation) -> storage::Result<Option<Audience>> {
        Ok(self.load_all([conv]).await?.remove(&conv))
    }

    /// Reads many, the direct conversations together; returns those that exist.
    pub async fn load_all(
        &self,
        convs: impl IntoIterator<Item = Conversation>,
    ) -> storage::Result<BTreeMap<Conversation, Audience>> {
        let (direct, groups): (Vec<_>, Vec<_>) =
            convs.into_iter().partition(|conv| matches!(conv, Conversation::Direct(..)));
        let mut read = BTreeMap::new();
        if !direct.is_empty() {
            read.extend(self.storage.audiences(&direct).await?);
        }
        for group in groups {
            // Any may be large.
            read.extend(self.storage.audiences(&[group]).await?);
        }
        for (conv, audience) in &read {
            self.learn(*conv, audience.clone());
        }
        Ok(read)
    }

    /// Keeps the audience unless a newer one is known.
    pub fn learn(&self, conv: Conversation, audience: Audience) {
        if self.members.fetch_add(audience.members.len(), Ordering::Relaxed) > MAX_MEMBERS {
            self.cache.clear();
            self.members.store(audience.members.len(), Ordering::Relaxed);
        }
        let mut entry = self.cache.entry(conv).or_insert_with(|| audience.clone());
        if entry.version < audience.version {
            *entry = audience;
        }
    }

    /// The conversation is at `version` now: drop what is older.
    pub fn outdated(&self, conv: Conversation, version: u64) {
        self.cache.remove_if(&conv, |_, audience| audience.version < version);
    }
}
