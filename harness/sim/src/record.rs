//! The history of a simulation in the judge's format, and what of it is still to come.

use crate::cluster::MID_WINDOW;
use crate::coverage;
use crate::database::{Loss, StoredRow};
use crate::trace::Trace;
use chat_client::{Acknowledged, Error, Message};
use chat_protocol::conversation::{GroupId, Target, UserId};
use chat_protocol::errno::Failure;
use judge::history::{self, Entry, Event, FORMAT, To, Who};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Between two looks whether everything has arrived.
const INTERVAL: Duration = Duration::from_millis(100);

pub struct Record {
    trace: Arc<Trace>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: Vec<Entry>,
    /// Whose messages have mids of a node's making on the wire.
    classic: BTreeSet<UserId>,
    /// Those who certainly are members.
    members: BTreeMap<GroupId, BTreeSet<UserId>>,
    sent: BTreeMap<Uuid, Sent>,
    /// Neither acknowledged nor refused nor given up.
    pending: BTreeSet<Uuid>,
    /// Who has which message.
    arrived: BTreeSet<(UserId, Uuid)>,
    /// Acknowledged as stored, and not yet there.
    outstanding: BTreeSet<(UserId, Uuid)>,
    /// Places of messages that the database has lost.
    lost: BTreeSet<(String, u64)>,
    /// How often it has lost something.
    losses: u64,
}

struct Sent {
    to: To,
    body: u64,
    qos: u8,
    recipients: Vec<UserId>,
    is_acked: bool,
}

impl Record {
    pub fn begin(trace: Arc<Trace>) -> Arc<Record> {
        let record = Record { trace, inner: Mutex::default() };
        record.note(Event::Begin { format: FORMAT, run: 0 });
        Arc::new(record)
    }

    pub fn note(&self, event: Event) {
        self.note_at(Instant::now(), event);
    }

    fn note_at(&self, at: Instant, event: Event) {
        self.trace.note("history", format_args!("{event:?}"));
        self.inner.lock().entries.push(Entry { t: self.trace.micros(at), event });
    }

    /// These are members of the group from now on.
    pub fn group(&self, group: GroupId, members: Vec<UserId>) {
        members.iter().for_each(|user| self.note(Event::Joined { group, user: *user }));
        self.inner.lock().members.insert(group, members.into_iter().collect());
    }

    /// Counts something that the run got to.
    pub fn reach(&self, name: impl Into<String>) {
        self.trace.reach(name);
    }

    /// A user is about to ask for it.
    pub fn joining(&self, group: GroupId, user: UserId) {
        self.note(Event::Joining { group, user });
    }

    pub fn joined(&self, group: GroupId, user: UserId) {
        self.inner.lock().members.entry(group).or_default().insert(user);
        self.note(Event::Joined { group, user });
    }

    /// A user is about to ask for it: nothing of the group is owed any more.
    pub fn leaving(&self, group: GroupId, user: UserId) {
        self.note(Event::Leaving { group, user });
        let mut inner = self.inner.lock();
        let Inner { members, sent, outstanding, .. } = &mut *inner;
        members.entry(group).or_default().remove(&user);
        for (mid, sent) in sent.iter_mut().filter(|(_, sent)| sent.to == To::Group(group)) {
            sent.recipients.retain(|recipient| *recipient != user);
            outstanding.remove(&(user, *mid));
        }
    }

    pub fn left(&self, group: GroupId, user: UserId) {
        self.note(Event::Left { group, user });
    }

    /// The database has lost this. What is on its way of it may still come; nothing of it is owed.
    pub fn lost(&self, loss: Loss) {
        self.inner.lock().losses += 1;
        self.note(Event::CommitsLost);
        for StoredRow { conv, seq, sender, mid, text } in loss.messages {
            let mid = self.mid_of(sender, Some(mid), &text).unwrap_or_default();
            self.note(Event::Lost { conv: conv.clone(), seq, sender, mid });
            let mut inner = self.inner.lock();
            inner.outstanding.retain(|(_, other)| *other != mid);
            inner.arrived.retain(|(_, other)| *other != mid);
            if let Some(sent) = inner.sent.get_mut(&mid) {
                sent.is_acked = false;
            }
            inner.lost.insert((conv, seq));
        }
        loss.logins.into_iter().for_each(|user| self.note(Event::LostLogin { user }));
        // Neither is known to be a member any more, nor not to be one.
        loss.joined.into_iter().for_each(|(group, user)| self.leaving(group, user));
        loss.left.into_iter().for_each(|(group, user)| self.joining(group, user));
    }

    /// How often the database has lost something: what was done before may not be.
    pub fn losses(&self) -> u64 {
        self.inner.lock().losses
    }

    /// A message is about to be sent for the first time.
    pub fn says(&self, who: Who, mid: Uuid, to: Target, text: &str, qos: u8) {
        let mut inner = self.inner.lock();
        let recipients = match to {
            Target::User(user) => vec![user],
            Target::Group(group) => {
                let members = inner.members.get(&group).into_iter().flatten();
                members.copied().filter(|member| *member != who.user).collect()
            }
        };
        let sent = Sent { to: to.into(), body: history::body(text), qos, recipients, is_acked: false };
        let event = send(who, mid, &sent, false);
        inner.pending.insert(mid);
        inner.sent.insert(mid, sent);
        drop(inner);
        self.note(event);
    }

    /// The same with a client that is told nothing of what becomes of it.
    pub fn says_without_answer(&self, who: Who, mid: Uuid, to: Target, text: &str) {
        self.says(who, mid, to, text, 1);
        self.inner.lock().pending.remove(&mid);
    }

    /// This user's client is a classic one.
    pub fn is_classic(&self, user: UserId) {
        self.note(Event::Unanswered { user });
        self.inner.lock().classic.insert(user);
    }

    /// A message is sent once more.
    pub fn says_again(&self, who: Who, mid: Uuid) {
        let event = self.inner.lock().sent.get(&mid).map(|sent| send(who, mid, sent, true));
        if let Some(event) = event {
            self.note(event);
        }
    }

    pub fn deferred(&self, who: Who, mid: Uuid, failure: &Failure) {
        let Who { user, session } = who;
        self.reach(coverage::name_of_errno(failure.errno));
        self.note(Event::Refused { user, session, mid, code: u64::from(failure.errno as u8), retryable: true });
    }

    /// What became of a message.
    pub fn outcome(&self, who: Who, mid: Uuid, at: Instant, result: Result<Acknowledged, Error>) {
        let Who { user, session } = who;
        match result {
            Ok(Acknowledged { conv, seq, .. }) => {
                let conv = conv.map(String::from);
                let place = conv.clone().zip(seq);
                let is_lost = place.is_some_and(|place| self.inner.lock().lost.contains(&place));
                let is_stored = seq.is_some() && !is_lost;
                self.reach(match is_stored {
                    true if self.is_acked(mid) => coverage::ACKED_AGAIN,
                    true => coverage::STORED,
                    false => coverage::RELAYED,
                });
                self.note_at(at, Event::Ack { user, session, mid, conv, seq });
                self.inner.lock().acked(mid, is_stored);
            }
            Err(error) => {
                if let Error::Refused(failure) = &error {
                    self.reach(coverage::name_of_errno(failure.errno));
                    let (code, retryable) = (u64::from(failure.errno as u8), failure.errno.is_retryable());
                    self.note_at(at, Event::Refused { user, session, mid, code, retryable });
                }
                self.inner.lock().pending.remove(&mid);
            }
        }
    }

    /// A message was pushed to a user, for the first time or not.
    pub fn sees(&self, who: Who, message: &Message) {
        let Message { conv, seq, id, msg, mid, at, .. } = message;
        let mid = self.mid_of(*id, *mid, msg);
        self.sees_push(who, *at, (*id, conv, *seq), mid, msg);
    }

    /// A line of chat reached a classic client.
    pub fn sees_line(&self, who: Who, from: UserId, text: &str) {
        self.sees_push(who, Instant::now(), (from, "", 0), mid_in(text), text);
    }

    fn sees_push(&self, who: Who, at: Instant, (from, conv, seq): (UserId, &str, u64), mid: Option<Uuid>, text: &str) {
        let Who { user, session } = who;
        let (conv, body) = (conv.to_owned(), history::body(text));
        self.note_at(at, Event::Push { user, session, from, conv, seq, mid, body });
        if let Some(mid) = mid {
            let mut inner = self.inner.lock();
            inner.arrived.insert((user, mid));
            inner.outstanding.remove(&(user, mid));
        }
    }

    /// The mid that a message was sent under, as its sender knows it.
    fn mid_of(&self, sender: UserId, mid: Option<Uuid>, text: &str) -> Option<Uuid> {
        if self.inner.lock().classic.contains(&sender) { mid_in(text) } else { mid }
    }

    pub fn is_acked(&self, mid: Uuid) -> bool {
        self.inner.lock().sent.get(&mid).is_some_and(|sent| sent.is_acked)
    }

    /// Waits until the fate of every message is known and every acknowledged one is with all its recipients, or until
    /// `budget` has passed; whether it is.
    pub async fn everything_arrives(&self, budget: Duration) -> bool {
        let is_over = || {
            let inner = self.inner.lock();
            inner.pending.is_empty() && inner.outstanding.is_empty()
        };
        let deadline = Instant::now() + budget;
        while !is_over() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(INTERVAL).await;
        }
        true
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

    /// What the database holds, and has held; the places of what is kept no longer.
    pub fn rows(&self, rows: Vec<StoredRow>, removed: Vec<(String, u64)>) {
        for StoredRow { conv, seq, sender, mid, text } in rows {
            let mid = self.mid_of(sender, Some(mid), &text).unwrap_or_default();
            self.note(Event::Row { conv, seq, sender, mid, body: history::body(&text) });
        }
        let kept_s = MID_WINDOW.as_secs();
        removed.into_iter().for_each(|(conv, seq)| self.note(Event::Removed { conv, seq, kept_s }));
        self.note(Event::RowsRead);
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.inner.lock().entries.clone()
    }
}

/// Every text ends with its mid.
fn mid_in(text: &str) -> Option<Uuid> {
    text.split_whitespace().next_back()?.parse().ok()
}

fn send(who: Who, mid: Uuid, sent: &Sent, again: bool) -> Event {
    let (Who { user, session }, &Sent { to, body, qos, .. }) = (who, sent);
    Event::Send { user, session, to, mid, body, qos, due: 0, again }
}

impl Inner {
    fn acked(&mut self, mid: Uuid, is_stored: bool) {
        self.pending.remove(&mid);
        let Some(sent) = self.sent.get_mut(&mid).filter(|sent| !sent.is_acked) else { return };
        sent.is_acked = true;
        if is_stored {
            let keys = sent.recipients.iter().map(|user| (*user, mid));
            self.outstanding.extend(keys.filter(|key| !self.arrived.contains(key)));
        }
    }
}
