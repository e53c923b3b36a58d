//! A history put in order: messages with all that happened to them, sessions, members.

use crate::history::{Entry, Event, LEFT, To, Who};
use crate::membership::Membership;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::{Range, RangeInclusive};
use uuid::Uuid;

/// What was on its way when a session was replaced may still arrive for this long (microseconds).
pub const GRACE_MICROS: u64 = 2_000_000;

/// A place in a conversation.
pub type Place<'a> = (&'a str, u64);

/// One message: what its sender did and was told. The numbers are places in the history.
#[derive(Debug)]
pub struct Message<'a> {
    pub sender: u64,
    pub mid: Uuid,
    pub to: To,
    pub body: u64,
    pub qos: u8,
    pub sends: Vec<Sent>,
    pub acks: Vec<(usize, Option<Place<'a>>)>,
    /// There was an acknowledgement, be it of a place that is lost.
    pub was_acknowledged: bool,
    pub refusals: Vec<(usize, u64, bool)>,
    /// Places in [`Facts::pushes`].
    pub pushes: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub event: usize,
    pub session: u32,
    pub to: To,
    pub body: u64,
}

/// One push.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    pub event: usize,
    pub who: Who,
    pub from: u64,
    pub conv: &'a str,
    pub seq: u64,
    pub mid: Option<Uuid>,
    pub body: u64,
}

/// A page of HISTORY.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    pub event: usize,
    pub user: u64,
    pub conv: &'a str,
    pub asked: u64,
    pub before: Option<u64>,
    pub seqs: &'a [u64],
    pub more: bool,
    pub first_seq: Option<u64>,
}

/// One message in the database.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub event: usize,
    pub conv: &'a str,
    pub seq: u64,
    pub sender: u64,
    pub mid: Uuid,
    pub body: u64,
}

/// One session.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    pub begun: usize,
    pub ended: Option<(usize, &'a str)>,
}

/// Everything that the checkers look at.
#[derive(Debug)]
pub struct Facts<'a> {
    pub entries: &'a [Entry],
    /// Nothing is acknowledged.
    pub unacknowledged: bool,
    /// Users whose messages are not answered.
    pub unanswered: BTreeSet<u64>,
    pub messages: Vec<Message<'a>>,
    pub pushes: Vec<Push<'a>>,
    pub sessions: BTreeMap<Who, Session<'a>>,
    pub drained: BTreeSet<u64>,
    /// Each with where it was said.
    pub received: Vec<(usize, Who, Place<'a>)>,
    /// Where it was said, who claimed to be whom, and whether it was done.
    pub claims: Vec<(usize, u64, u64, bool)>,
    /// Faults that name what they concern: from, to.
    pub faults: Vec<(&'a str, usize, Option<usize>)>,
    /// By user and friend: the last look, and whether the friend was seen online.
    pub looks: BTreeMap<(u64, u64), (usize, bool)>,
    pub reads: Vec<Read<'a>>,
    /// A page may show less than what was there, or was told of, before it was asked for.
    pub history_may_lag: bool,
    pub rows: Vec<Row<'a>>,
    /// Where it was said, and who was told that these places will not come.
    gaps: Vec<(usize, u64, &'a str, RangeInclusive<u64>)>,
    /// From where on what somebody has not received may be removed.
    removes_unreceived: Option<usize>,
    /// Places of messages that are kept no longer, and for how many seconds they were kept at least.
    pub removed: HashMap<Place<'a>, u64>,
    /// Where all rows had been told.
    pub rows_read: Option<usize>,
    /// Where commits were last lost.
    pub commits_lost: Option<usize>,
    /// Messages that the database has lost, by sender and mid.
    lost: HashMap<Place<'a>, (u64, Uuid)>,
    /// Who had sent or been pushed one of them.
    had_lost: HashSet<(u64, Place<'a>)>,
    /// Where a login was asked for, and whose.
    logins_asked: Vec<(usize, u64)>,
    /// Whose session the database has lost, and where.
    lost_logins: Vec<(usize, u64)>,
    by_mid: HashMap<(u64, Uuid), usize>,
    members: HashMap<u64, BTreeMap<u64, Membership>>,
}

impl<'a> Facts<'a> {
    pub fn new(entries: &'a [Entry]) -> Self {
        let mut facts = Facts {
            entries,
            unacknowledged: false,
            unanswered: BTreeSet::new(),
            messages: Vec::new(),
            pushes: Vec::new(),
            sessions: BTreeMap::new(),
            drained: BTreeSet::new(),
            received: Vec::new(),
            claims: Vec::new(),
            faults: Vec::new(),
            looks: BTreeMap::new(),
            reads: Vec::new(),
            history_may_lag: false,
            rows: Vec::new(),
            gaps: Vec::new(),
            removes_unreceived: None,
            removed: HashMap::new(),
            rows_read: None,
            commits_lost: None,
            lost: HashMap::new(),
            had_lost: HashSet::new(),
            logins_asked: Vec::new(),
            lost_logins: Vec::new(),
            by_mid: HashMap::new(),
            members: HashMap::new(),
        };
        for (place, entry) in entries.iter().enumerate() {
            facts.add(place, &entry.event);
        }
        facts.leave_out_what_was_lost();
        for (place, push) in facts.pushes.iter().enumerate() {
            if let Some(&message) = push.mid.and_then(|mid| facts.by_mid.get(&(push.from, mid))) {
                facts.messages[message].pushes.push(place);
            }
        }
        facts
    }

    fn add(&mut self, event: usize, what: &'a Event) {
        match what {
            Event::Begin { .. } => {}
            Event::Unacknowledged => self.unacknowledged = true,
            Event::Unanswered { user } => {
                self.unanswered.insert(*user);
            }
            Event::Joining { group, user } => self.membership(*group, *user).joining(event),
            Event::Joined { group, user } => self.membership(*group, *user).joined(event),
            Event::Leaving { group, user } => self.membership(*group, *user).leaving(event),
            Event::Left { group, user } => self.membership(*group, *user).left(event),
            Event::Login { user, session, .. } => {
                self.sessions.insert(Who { user: *user, session: *session }, Session { begun: event, ended: None });
            }
            Event::LoginAsked { user } => self.logins_asked.push((event, *user)),
            Event::End { user, session, why } => {
                if let Some(known) = self.sessions.get_mut(&Who { user: *user, session: *session }) {
                    known.ended = Some((event, why));
                }
            }
            Event::Drained { user } => {
                self.drained.insert(*user);
            }
            Event::Received { user, session, conv, seq } => {
                self.received.push((event, Who { user: *user, session: *session }, (conv, *seq)));
            }
            Event::Claim { user, claimed, done } => self.claims.push((event, *user, *claimed, *done)),
            Event::Fault { what, healed: false } => self.faults.push((what, event, None)),
            Event::Fault { what, healed: true } => {
                let broken = self.faults.iter_mut().rev().find(|fault| fault.0 == what && fault.2.is_none());
                if let Some(fault) = broken {
                    fault.2 = Some(event);
                }
            }
            Event::Push { user, session, from, conv, seq, mid, body } => {
                let who = Who { user: *user, session: *session };
                self.pushes.push(Push { event, who, from: *from, conv, seq: *seq, mid: *mid, body: *body });
            }
            Event::Sees { user, friend, online } => {
                self.looks.insert((*user, *friend), (event, *online));
            }
            Event::Gap { user, conv, first, last, .. } => self.gaps.push((event, *user, conv, *first..=*last)),
            Event::RemovesUnreceived => {
                self.removes_unreceived.get_or_insert(event);
            }
            Event::HistoryMayLag => self.history_may_lag = true,
            Event::Read { user, conv, asked, before, seqs, more, first_seq } => {
                let (user, asked, before, more, first_seq) = (*user, *asked, *before, *more, *first_seq);
                self.reads.push(Read { event, user, conv, asked, before, seqs, more, first_seq });
            }
            Event::Row { conv, seq, sender, mid, body } => {
                self.rows.push(Row { event, conv, seq: *seq, sender: *sender, mid: *mid, body: *body });
            }
            Event::Removed { conv, seq, kept_s } => {
                self.removed.insert((conv, *seq), *kept_s);
            }
            Event::CommitsLost => self.commits_lost = Some(event),
            Event::LostLogin { user } => self.lost_logins.push((event, *user)),
            Event::Lost { conv, seq, sender, mid } => {
                self.lost.insert((conv, *seq), (*sender, *mid));
            }
            Event::RowsRead => self.rows_read = Some(event),
            Event::Send { .. } | Event::Ack { .. } | Event::Refused { .. } => self.add_to_message(event, what),
        }
    }

    /// What was said of a place that is lost holds no more, and nothing is owed for it: its acknowledgement, which may
    /// have come before or after, and its pushes. The message may stand at another place.
    fn leave_out_what_was_lost(&mut self) {
        let Facts { lost, had_lost, messages, pushes, .. } = self;
        had_lost.extend(lost.iter().map(|(place, (sender, _))| (*sender, *place)));
        let is_lost = |place: &Place<'a>, sender, mid| lost.get(place) == Some(&(sender, mid));
        for Message { sender, mid, acks, .. } in messages {
            acks.retain(|(_, place)| !place.is_some_and(|place| is_lost(&place, *sender, *mid)));
        }
        pushes.retain(|push| {
            if push.conv.is_empty() {
                // A classic client is told of no place: what it had is known by its name. It may be of another place.
                let of_this = |message: &(u64, Uuid)| push.mid.is_some_and(|mid| *message == (push.from, mid));
                let places = lost.iter().filter(|(_, message)| of_this(message)).map(|(place, _)| *place);
                had_lost.extend(places.map(|place| (push.who.user, place)));
                return true;
            }
            let place = (push.conv, push.seq);
            let is_lost = push.mid.is_some_and(|mid| is_lost(&place, push.from, mid));
            if is_lost {
                had_lost.insert((push.who.user, place));
            }
            !is_lost
        });
    }

    fn membership(&mut self, group: u64, user: u64) -> &mut Membership {
        self.members.entry(group).or_default().entry(user).or_default()
    }

    fn add_to_message(&mut self, event: usize, what: &'a Event) {
        match what {
            Event::Send { user, session, to, mid, body, qos, .. } => {
                let next = self.messages.len();
                let place = *self.by_mid.entry((*user, *mid)).or_insert(next);
                if place == next {
                    self.messages.push(Message {
                        sender: *user,
                        mid: *mid,
                        to: *to,
                        body: *body,
                        qos: *qos,
                        sends: Vec::new(),
                        acks: Vec::new(),
                        was_acknowledged: false,
                        refusals: Vec::new(),
                        pushes: Vec::new(),
                    });
                }
                self.messages[place].sends.push(Sent { event, session: *session, to: *to, body: *body });
            }
            Event::Ack { user, mid, conv, seq, .. } => {
                let place = conv.as_deref().zip(*seq);
                if let Some(&message) = self.by_mid.get(&(*user, *mid)) {
                    self.messages[message].acks.push((event, place));
                    self.messages[message].was_acknowledged = true;
                }
            }
            Event::Refused { user, mid, code, retryable, .. } => {
                if let Some(&message) = self.by_mid.get(&(*user, *mid)) {
                    self.messages[message].refusals.push((event, *code, *retryable));
                }
            }
            _ => {}
        }
    }

    /// The message that a push is of, if the history has it being sent.
    pub fn message(&self, push: &Push<'_>) -> Option<&Message<'a>> {
        self.message_of(push.from, push.mid?)
    }

    /// The message that this sender sent under this name.
    pub fn message_of(&self, sender: u64, mid: Uuid) -> Option<&Message<'a>> {
        self.by_mid.get(&(sender, mid)).map(|place| &self.messages[*place])
    }

    /// Whether something of this name was broken at this place in the history.
    pub fn is_broken(&self, name: &str, event: usize) -> bool {
        let is_named = |what: &str| what.split_whitespace().any(|word| word == name);
        let covers = |begun: usize, ended: Option<usize>| begun < event && ended.is_none_or(|end| end > event);
        self.faults.iter().any(|(what, begun, ended)| covers(*begun, *ended) && is_named(what))
    }

    /// Whether another login of the user was asked for between two places in the history.
    pub fn may_be_replaced_between(&self, user: u64, between: Range<usize>) -> bool {
        self.logins_asked.iter().any(|(asked, whose)| *whose == user && between.contains(asked))
    }

    /// Where the session began that the user had at this place in the history.
    pub fn session_at(&self, user: u64, event: usize) -> Option<usize> {
        let open = |session: &&Session<'_>| session.begun < event && session.ended.is_none_or(|(end, _)| end > event);
        self.sessions_from(Who { user, session: 0 }).find(open).map(|session| session.begun)
    }

    /// All sessions of a user from one on.
    fn sessions_from(&self, first: Who) -> impl Iterator<Item = &Session<'a>> {
        self.sessions.range(first..=Who { session: u32::MAX, ..first }).map(|(_, session)| session)
    }

    /// Whether what the user had at this place is lost: where it was given anew before anybody noticed, the other
    /// message is taken for the one that is known.
    pub fn had_lost(&self, user: u64, place: Place<'_>) -> bool {
        self.had_lost.contains(&(user, place))
    }

    /// Whether this user was told that a message will not come that was removed, and was allowed to be.
    pub fn was_told_of_the_removal(&self, message: &Message<'_>, user: u64) -> bool {
        let Some(allowed) = self.removes_unreceived else { return false };
        let told = |(conv, seq): Place<'_>| {
            let mut gaps = self.gaps.iter().filter(|(event, whose, ..)| *event > allowed && *whose == user);
            gaps.any(|(_, _, of, gap)| *of == conv && gap.contains(&seq))
        };
        let mut places = message.acks.iter().filter_map(|(_, place)| *place);
        places.any(|place| self.removed.contains_key(&place) && told(place))
    }

    /// Whether the database may know nothing of this session: it lost a login of the user, be it answered before or
    /// after.
    pub fn may_be_lost(&self, who: Who) -> bool {
        self.lost_at(who).is_some()
    }

    /// Where that was last.
    pub fn lost_at(&self, who: Who) -> Option<usize> {
        let begun = self.sessions.get(&who)?.begun;
        let is_next_to = |lost: usize| {
            let between = begun.min(lost) + 1..begun.max(lost);
            !self.sessions_from(Who { session: 0, ..who }).any(|other| between.contains(&other.begun))
        };
        let of_this = |(lost, user): &&(usize, u64)| *user == who.user && is_next_to(*lost);
        self.lost_logins.iter().filter(of_this).map(|(lost, _)| *lost).max()
    }

    /// Whether this session certainly began after those logged before it. One that is replaced or lost within the grace
    /// may have begun earlier and only read its LOGIN_ACK late.
    pub fn certainly_began_last(&self, session: &Session<'_>) -> bool {
        let time = |place: usize| self.entries[place].t;
        let at_once = |end: usize| time(end) <= time(session.begun) + GRACE_MICROS;
        session.ended.is_none_or(|(end, why)| why == LEFT || !at_once(end))
    }

    /// Whether the user had a later session at this place in the history.
    fn is_replaced(&self, who: Who, event: usize) -> bool {
        let next = Who { session: who.session.saturating_add(1), ..who };
        self.sessions_from(next).any(|session| session.begun < event)
    }

    /// Whether this user does anything in this history.
    pub fn knows(&self, user: u64) -> bool {
        self.sessions_from(Who { user, session: 0 }).next().is_some()
    }

    /// Those who must get a message: everyone who was a member when it was sent and has been ever since, since leaving
    /// ends the delivery of what waits; but for those who had another at its place, which is lost.
    pub fn recipients(&self, message: &Message<'a>) -> Vec<u64> {
        let mut recipients = match message.to {
            To::User(user) => vec![user],
            To::Group(group) => {
                let members = self.members.get(&group).into_iter().flatten();
                let owed = members.filter(|(user, membership)| {
                    **user != message.sender && membership.lasts_from(message.first_sent())
                });
                owed.map(|(user, _)| *user).collect()
            }
        };
        let had_lost = |user| message.acks.iter().any(|(_, place)| place.is_some_and(|at| self.had_lost(user, at)));
        recipients.retain(|user| !had_lost(*user));
        recipients
    }

    /// Whether a user certainly is where this message was sent, all the while between two places in the history.
    pub fn stays(&self, message: &Message<'_>, user: u64, between: Range<usize>) -> bool {
        let To::Group(group) = message.to else { return true };
        let membership = self.members.get(&group).and_then(|members| members.get(&user));
        membership.is_none_or(|membership| membership.covers(&between))
    }

    /// Whether a user may get a message that was pushed at this place, in this session.
    pub fn may_receive(&self, message: &Message<'_>, who: Who, pushed: usize) -> bool {
        let user = who.user;
        match message.to {
            To::User(to) => to == user,
            To::Group(group) => {
                let membership = self.members.get(&group).and_then(|members| members.get(&user));
                // What was read in the moment in which the server said that somebody has left may have come before.
                // So may what was queued for a session that another had replaced by then, told of before or after.
                let session = self.sessions.get(&who);
                let may_be_earlier = session.is_some_and(|session| !self.certainly_began_last(session));
                let came_after = |end: usize| {
                    let is_later = self.entries[pushed].t > self.entries[end].t;
                    is_later && !may_be_earlier && !self.is_replaced(who, end)
                };
                let may = |membership: &Membership| membership.may_get(message.first_sent(), pushed, came_after);
                user != message.sender && membership.is_some_and(may)
            }
        }
    }
}

impl<'a> Message<'a> {
    /// Where it was first acknowledged, and its place where it has one.
    pub fn acknowledged(&self) -> Option<(usize, Option<Place<'a>>)> {
        self.acks.first().copied()
    }

    /// Whether the contract promises its delivery.
    pub fn is_stored(&self) -> bool {
        self.qos > 0 && self.acks.iter().any(|(_, place)| place.is_some())
    }

    pub fn first_sent(&self) -> usize {
        self.sends.first().map_or(0, |sent| sent.event)
    }

    /// Everything about it up to now, for evidence.
    pub fn events(&self) -> Vec<usize> {
        let sends = self.sends.iter().map(|sent| sent.event);
        sends
            .chain(self.acks.iter().map(|(event, _)| *event))
            .chain(self.refusals.iter().map(|(event, ..)| *event))
            .collect()
    }
}
