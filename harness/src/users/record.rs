//! The history of a story, and what of it is still to come.
//!
//! Every user writes down here what it does and sees, in the judge's history format; in the end that history
//! is judged by the same checkers ([`judge::check`]). Beside it stands what has to be known while the story goes on:
//! which messages have no answer yet, and which have been acknowledged and are not yet with everybody.

use super::conclusion::{Conclusion, Summary};
use super::rows::{Removed, Row};
use anyhow::Result;
use chat_client::{Acknowledged, Error, Message};
use chat_protocol::conversation::{GroupId, Target, UserId};
use chat_protocol::errno::Failure;
use judge::clock::Clock;
use judge::history::{self, Entry, Event, FORMAT, History, To, Who};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Time between two looks whether everything has arrived.
const INTERVAL: Duration = Duration::from_millis(50);

/// Shared by all users of a story.
pub struct Record {
    clock: Clock,
    inner: Mutex<Inner>,
}

/// The histories of what happened in one cluster.
#[derive(Default)]
pub struct Records(Mutex<Vec<Arc<Record>>>);

impl Records {
    /// One more, empty.
    pub fn add(&self) -> Arc<Record> {
        let record = Arc::new(Record::default());
        self.0.lock().push(record.clone());
        record
    }

    pub fn all(&self) -> Vec<Arc<Record>> {
        self.0.lock().clone()
    }
}

#[derive(Default)]
struct Inner {
    entries: Vec<Entry>,
    groups: HashMap<GroupId, Vec<UserId>>,
    sent: HashMap<Uuid, Sent>,
    /// Who has which message, and how long after it was sent.
    arrived: HashMap<(UserId, Uuid), Duration>,
    /// Messages that are neither acknowledged nor refused nor given up.
    pending: HashSet<Uuid>,
    /// Acknowledged, and not yet there.
    outstanding: HashSet<(UserId, Uuid)>,
    acked: usize,
    /// Why messages have no ack: they may be stored all the same.
    unknown: BTreeMap<String, usize>,
    slowest_ack: Duration,
}

struct Sent {
    at: Instant,
    to: To,
    body: u64,
    recipients: Vec<UserId>,
    /// Conversation and number, once it is acknowledged.
    place: Option<(String, u64)>,
}

impl Default for Record {
    fn default() -> Self {
        let record = Record { clock: Clock::start(), inner: Mutex::default() };
        record.note(Event::Begin { format: FORMAT, run: std::process::id() });
        record
    }
}

/// What users write down.
impl Record {
    pub fn note(&self, event: Event) {
        self.note_at(Instant::now(), event);
    }

    fn note_at(&self, at: Instant, event: Event) {
        self.inner.lock().entries.push(Entry { t: self.clock.micros(at.into_std()), event });
    }

    /// Who gets what is said in a group from now on.
    pub fn group(&self, group: GroupId, members: Vec<UserId>) {
        members.iter().for_each(|user| self.note(Event::Joined { group, user: *user }));
        self.inner.lock().groups.insert(group, members);
    }

    /// A message is about to be sent for the first time.
    pub(super) fn says(&self, who: Who, mid: Uuid, to: Target, text: &str) {
        let (mut inner, at) = (self.inner.lock(), Instant::now());
        let recipients = match to {
            Target::User(user) => vec![user],
            Target::Group(group) => {
                let members = inner.groups.get(&group).into_iter().flatten();
                members.copied().filter(|member| *member != who.user).collect()
            }
        };
        let sent = Sent { at, to: to.into(), body: history::body(text), recipients, place: None };
        inner.entries.push(Entry { t: self.clock.micros(at.into_std()), event: send(who, mid, &sent, false) });
        inner.pending.insert(mid);
        inner.sent.insert(mid, sent);
    }

    /// A message is sent once more.
    pub(super) fn says_again(&self, who: Who, mid: Uuid) {
        let (mut inner, t) = (self.inner.lock(), self.clock.now());
        if let Some(event) = inner.sent.get(&mid).map(|sent| send(who, mid, sent, true)) {
            inner.entries.push(Entry { t, event });
        }
    }

    pub(super) fn deferred(&self, who: Who, mid: Uuid, failure: &Failure) {
        let (Who { user, session }, code) = (who, u64::from(failure.errno as u8));
        self.note(Event::Refused { user, session, mid, code, retryable: true });
    }

    /// What became of a message.
    pub(super) fn outcome(&self, who: Who, mid: Uuid, at: Instant, result: Result<Acknowledged, Error>) {
        let Who { user, session } = who;
        match result {
            Ok(Acknowledged { conv: Some(conv), seq: Some(seq), .. }) => {
                let event = Event::Ack { user, session, mid, conv: Some(conv.to_string()), seq: Some(seq) };
                self.note_at(at, event);
                self.inner.lock().acked(mid, at, (conv.to_string(), seq));
            }
            // An ack without its place is none: the message stays pending, and the story does not come to its end.
            Ok(_) => {}
            Err(error) => {
                if let Error::Refused(failure) = &error {
                    let (code, retryable) = (u64::from(failure.errno as u8), failure.errno.is_retryable());
                    self.note_at(at, Event::Refused { user, session, mid, code, retryable });
                }
                self.inner.lock().given_up(mid, &error);
            }
        }
    }

    /// A message was pushed to a user, for the first time or not.
    pub(super) fn sees(&self, who: Who, message: &Message) {
        let Message { conv, seq, id, msg, mid, at, .. } = message;
        let Who { user, session } = who;
        let (conv, body) = (conv.to_string(), history::body(msg));
        self.note_at(*at, Event::Push { user, session, from: *id, conv, seq: *seq, mid: *mid, body });
        if let Some(mid) = *mid {
            self.inner.lock().arrives(user, mid, *at);
        }
    }

    /// Everybody who is logged in now has had the time for everything: what has not arrived is lost.
    pub fn drained(&self) {
        let mut open: BTreeMap<Who, bool> = BTreeMap::new();
        for entry in &self.inner.lock().entries {
            match entry.event {
                Event::Login { user, session, .. } => open.insert(Who { user, session }, true),
                Event::End { user, session, .. } => open.insert(Who { user, session }, false),
                _ => None,
            };
        }
        let online = open.into_iter().filter(|(_, is_open)| *is_open);
        online.for_each(|(Who { user, .. }, _)| self.note(Event::Drained { user }));
    }

    /// A page of HISTORY, and when it was asked for.
    pub(super) fn reads(&self, user: UserId, asked: Instant, before: Option<u64>, page: &chat_client::History) {
        let (asked, conv) = (self.clock.micros(asked.into_std()), page.conv.to_string());
        let seqs = page.messages.iter().map(|message| message.seq).collect();
        let (more, first_seq) = (page.more, page.first_seq);
        self.note(Event::Read { user, conv, asked, before, seqs, more, first_seq });
    }

    /// A user is told that some messages will not come.
    pub(super) fn will_not_come(&self, who: Who, conv: &str, first: u64, last: u64) {
        let Who { user, session } = who;
        self.note(Event::Gap { user, session, conv: conv.to_owned(), first, last });
        let mut inner = self.inner.lock();
        let Inner { outstanding, sent, .. } = &mut *inner;
        let is_gone = |(of, seq): &(String, u64)| of == conv && (first..=last).contains(seq);
        for (mid, _) in sent.iter().filter(|(_, sent)| sent.place.as_ref().is_some_and(is_gone)) {
            outstanding.remove(&(user, *mid));
        }
    }

    /// What the database holds of the conversations of this story, and has held; of that, what was removed.
    pub(crate) fn rows(&self, rows: Vec<Row>, removed: Vec<Removed>) {
        let spoken_in = |sent: &Sent| sent.place.as_ref().map(|(conv, _)| conv.clone());
        let convs: HashSet<String> = self.inner.lock().sent.values().filter_map(spoken_in).collect();
        let ours = |row: &Row| convs.contains(&row.conv);
        for Row { conv, seq, sender, mid, body } in rows.into_iter().filter(ours) {
            self.note(Event::Row { conv, seq, sender, mid, body });
        }
        for Removed { conv, seq, kept_s } in removed {
            self.note(Event::Removed { conv, seq, kept_s });
        }
        self.note(Event::RowsRead);
    }
}

fn send(who: Who, mid: Uuid, sent: &Sent, again: bool) -> Event {
    let (Who { user, session }, &Sent { to, body, .. }) = (who, sent);
    Event::Send { user, session, to, mid, body, qos: 1, due: 0, again }
}

/// What can be asked while the story goes on.
impl Record {
    /// How many messages were acknowledged so far.
    pub fn acked(&self) -> usize {
        self.inner.lock().acked
    }

    /// How many have reached a recipient so far, counting each recipient.
    pub fn delivered(&self) -> usize {
        self.inner.lock().arrived.len()
    }

    /// Microseconds since it began, as in its entries.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Shows the entries from this place on, in the order in which they were written down; the place behind the last.
    pub fn show_from(&self, place: usize, show: impl FnMut(&Entry)) -> usize {
        let inner = self.inner.lock();
        inner.entries.iter().skip(place).for_each(show);
        inner.entries.len()
    }

    pub(super) fn is_acked(&self, mid: Uuid) -> bool {
        self.inner.lock().sent.get(&mid).is_some_and(|sent| sent.place.is_some())
    }

    /// How many of the messages sent since `start` are acknowledged.
    pub fn acked_since(&self, start: Instant) -> usize {
        self.inner.lock().sent.values().filter(|sent| sent.at >= start && sent.place.is_some()).count()
    }

    /// How many of the messages sent since `start` have reached a recipient, counting each recipient.
    pub fn delivered_since(&self, start: Instant) -> usize {
        let inner = self.inner.lock();
        inner.arrived.keys().filter(|(_, mid)| inner.sent.get(mid).is_some_and(|sent| sent.at >= start)).count()
    }

    /// Waits until the fate of every message is known and every acknowledged one is with all its recipients, or until
    /// `budget` has passed.
    pub async fn everything_arrives(&self, budget: Duration) {
        let is_over = || {
            let inner = self.inner.lock();
            inner.pending.is_empty() && inner.outstanding.is_empty()
        };
        let deadline = Instant::now() + budget;
        while !is_over() && Instant::now() < deadline {
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Judges what was written down until now.
    pub fn conclude(&self) -> Conclusion {
        let inner = self.inner.lock();
        let summary = Summary {
            acked: inner.acked,
            unknown: inner.unknown.values().sum(),
            delivered: inner.arrived.len(),
            slowest_ack: inner.slowest_ack,
            slowest_delivery: inner.arrived.values().copied().max().unwrap_or_default(),
            recovered: None,
        };
        Conclusion::of(inner.entries.clone(), summary, inner.pending.len(), inner.unknown.clone())
    }

    /// Writes the history to a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let entries = self.inner.lock().entries.clone();
        let history = History::create(path, std::process::id())?;
        entries.into_iter().skip(1).for_each(|Entry { t, event }| history.note(t, event));
        history.finish()?;
        Ok(())
    }
}

impl Inner {
    fn acked(&mut self, mid: Uuid, at: Instant, place: (String, u64)) {
        self.pending.remove(&mid);
        let Some(sent) = self.sent.get_mut(&mid).filter(|sent| sent.place.is_none()) else { return };
        sent.place = Some(place);
        self.acked += 1;
        self.slowest_ack = self.slowest_ack.max(at.saturating_duration_since(sent.at));
        let missing = sent.recipients.iter().map(|user| (*user, mid)).filter(|key| !self.arrived.contains_key(key));
        self.outstanding.extend(missing);
    }

    fn given_up(&mut self, mid: Uuid, error: &Error) {
        // Of a message that was sent again after its ack nothing is unknown.
        if self.pending.remove(&mid) {
            *self.unknown.entry(error.to_string()).or_default() += 1;
        }
    }

    fn arrives(&mut self, user: UserId, mid: Uuid, at: Instant) {
        let after = self.sent.get(&mid).map_or(Duration::ZERO, |sent| at.saturating_duration_since(sent.at));
        self.arrived.entry((user, mid)).or_insert(after);
        self.outstanding.remove(&(user, mid));
    }
}
