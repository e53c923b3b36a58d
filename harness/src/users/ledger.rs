//! The history of a story: every message sent, what became of it, and everything that arrived.
//!
//! Checked against PROTOCOL.md's G1, G2, G3 and G5: every acknowledged message reaches every recipient once, under the seq
//! that was acknowledged, in the order of seq; nothing else reaches anybody. Holes may only be the recipient's own messages.

use chat::client::{Acknowledged, Error, Message};
use chat::protocol::conversation::{GroupId, Target, UserId};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Violations told; one cause makes many.
const TOLD: usize = 12;
/// Time between two looks whether everything has arrived.
const INTERVAL: Duration = Duration::from_millis(50);

/// Shared by all users of a story.
#[derive(Default)]
pub struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    groups: HashMap<GroupId, Vec<UserId>>,
    sent: BTreeMap<Uuid, Sent>,
    seen: BTreeMap<(UserId, Arc<str>), Vec<Seen>>,
    violations: Vec<String>,
}

struct Sent {
    sender: UserId,
    to: Target,
    text: String,
    recipients: Vec<UserId>,
    at: Instant,
    outcome: Outcome,
}

enum Outcome {
    Pending,
    Acked {
        conv: Arc<str>,
        seq: u64,
        after: Duration,
    },
    /// Not acknowledged; it may be stored all the same.
    Unknown(Error),
}

struct Seen {
    seq: u64,
    mid: Option<Uuid>,
    /// Since the message was sent.
    after: Duration,
}

/// What a story's messages came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    pub acked: usize,
    /// Not acknowledged; stored or not.
    pub unknown: usize,
    pub delivered: usize,
    /// The longest that any message took until its ack, and until it was with a recipient.
    pub slowest_ack: Duration,
    pub slowest_delivery: Duration,
}

impl Ledger {
    /// Who gets what is said in a group from now on.
    pub fn group(&self, group: GroupId, members: Vec<UserId>) {
        self.inner.lock().groups.insert(group, members);
    }

    pub fn sent(&self, mid: Uuid, sender: UserId, to: Target, text: &str) {
        let mut inner = self.inner.lock();
        let recipients = match to {
            Target::User(user) => vec![user],
            Target::Group(group) => {
                let members = inner.groups.get(&group).cloned().unwrap_or_default();
                members.into_iter().filter(|member| *member != sender).collect()
            }
        };
        let (text, at, outcome) = (text.to_owned(), Instant::now(), Outcome::Pending);
        inner.sent.insert(mid, Sent { sender, to, text, recipients, at, outcome });
    }

    pub fn outcome(&self, mid: Uuid, result: Result<Acknowledged, Error>) {
        let mut inner = self.inner.lock();
        let Some(sent) = inner.sent.get_mut(&mid) else { return };
        sent.outcome = match result {
            Ok(Acknowledged { conv: Some(conv), seq: Some(seq), .. }) => {
                Outcome::Acked { conv: (*conv).into(), seq, after: sent.at.elapsed() }
            }
            Ok(ack) => {
                inner.violations.push(format!("{mid}: an ack without its place: {ack:?}"));
                return;
            }
            Err(error) => Outcome::Unknown(error),
        };
    }

    /// A message was pushed to a user. Drops, as every client may, what the user has seen in an earlier session.
    pub fn seen(&self, user: UserId, message: &Message) {
        let mut inner = self.inner.lock();
        let Inner { sent, seen, violations, .. } = &mut *inner;
        let seen = seen.entry((user, message.conv.clone())).or_default();
        if let Some(before) = seen.iter().find(|before| before.seq == message.seq) {
            if before.mid != message.mid {
                violations.push(format!("user {user}: {} {} is two messages", message.conv, message.seq));
            }
            return;
        }
        if seen.last().is_some_and(|last| last.seq > message.seq) {
            violations.push(format!("user {user}: {} {} comes late", message.conv, message.seq));
        }
        let sent = message.mid.and_then(|mid| sent.get(&mid));
        if !sent.is_some_and(|sent| sent.is_for(user, message)) {
            violations.push(format!("user {user}: a phantom {message:?}"));
        }
        let after = sent.map_or(Duration::ZERO, |sent| sent.at.elapsed());
        seen.push(Seen { seq: message.seq, mid: message.mid, after });
    }

    /// How many messages were acknowledged so far.
    pub fn acked(&self) -> usize {
        self.summary().acked
    }

    /// How many of the messages sent since `start` have reached a recipient.
    pub fn delivered_since(&self, start: Instant) -> usize {
        let inner = self.inner.lock();
        let mids = inner.seen.values().flatten().filter_map(|seen| seen.mid);
        mids.filter(|mid| inner.sent.get(mid).is_some_and(|sent| sent.at >= start)).count()
    }

    /// How many of the messages sent since `start` are acknowledged.
    pub fn acked_since(&self, start: Instant) -> usize {
        let inner = self.inner.lock();
        inner.sent.values().filter(|sent| sent.at >= start && matches!(sent.outcome, Outcome::Acked { .. })).count()
    }

    pub fn summary(&self) -> Summary {
        let inner = self.inner.lock();
        let acks: Vec<Duration> = inner.sent.values().filter_map(Sent::acked_after).collect();
        let delays: Vec<Duration> = inner.seen.values().flatten().map(|seen| seen.after).collect();
        Summary {
            acked: acks.len(),
            unknown: inner.sent.len() - acks.len(),
            delivered: delays.len(),
            slowest_ack: acks.into_iter().max().unwrap_or_default(),
            slowest_delivery: delays.into_iter().max().unwrap_or_default(),
        }
    }

    /// Waits until the fate of every message is known and every acknowledged one is with all its recipients; then checks
    /// everything.
    ///
    /// # Panics
    /// If something does not arrive within `budget`, or a promise is broken.
    pub async fn settle(&self, budget: Duration) -> Summary {
        let deadline = tokio::time::Instant::now() + budget;
        while !self.missing().is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(INTERVAL).await;
        }
        let mut broken = self.missing();
        broken.extend(self.broken());
        if !broken.is_empty() {
            let told = broken.iter().take(TOLD).cloned().collect::<Vec<_>>().join("\n  ");
            panic!("{} promises broken within {budget:?}:\n  {told}\n{:?}", broken.len(), self.summary());
        }
        let summary = self.summary();
        eprintln!("{summary}");
        self.tell_unknown();
        summary
    }

    fn tell_unknown(&self) {
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for sent in self.inner.lock().sent.values() {
            if let Outcome::Unknown(error) = &sent.outcome {
                *reasons.entry(error.to_string()).or_default() += 1;
            }
        }
        reasons.iter().for_each(|(reason, count)| eprintln!("  {count} times: {reason}"));
    }

    /// What is still to come.
    fn missing(&self) -> Vec<String> {
        let inner = self.inner.lock();
        let arrived: HashMap<(UserId, Uuid), u64> = (inner.seen.iter())
            .flat_map(|((user, _), seen)| seen.iter().filter_map(|seen| Some(((*user, seen.mid?), seen.seq))))
            .collect();
        let mut missing = Vec::new();
        for (mid, sent) in &inner.sent {
            let Outcome::Acked { conv, seq, .. } = &sent.outcome else {
                if let Outcome::Pending = sent.outcome {
                    missing.push(format!("{mid} from {} is neither acknowledged nor refused", sent.sender));
                }
                continue;
            };
            for user in sent.recipients.iter().filter(|user| !arrived.contains_key(&(**user, *mid))) {
                missing.push(format!("user {user}: {conv} {seq} from {} is lost ({})", sent.sender, sent.text));
            }
        }
        missing
    }

    /// What must not be, once everything has arrived.
    fn broken(&self) -> Vec<String> {
        let inner = self.inner.lock();
        let mut broken = inner.violations.clone();
        let mut places: HashMap<(&str, u64), Uuid> = HashMap::new();
        for (mid, sent) in &inner.sent {
            if let Outcome::Acked { conv, seq, .. } = &sent.outcome
                && let Some(other) = places.insert((conv, *seq), *mid)
            {
                broken.push(format!("{conv} {seq} was given to both {other} and {mid}"));
            }
        }
        for ((user, conv), seen) in &inner.seen {
            for seen in seen {
                let place = places.get(&(&**conv, seen.seq));
                let acked =
                    seen.mid.and_then(|mid| inner.sent.get(&mid)).is_some_and(|sent| sent.acked_after().is_some());
                if acked && place.copied() != seen.mid {
                    broken.push(format!(
                        "user {user}: {conv} {} came under another place than was acknowledged",
                        seen.seq
                    ));
                }
            }
            broken.extend(inner.holes(*user, conv, seen));
        }
        broken
    }
}

impl Inner {
    /// The places below the last that are neither seen nor the user's own. An own message whose ack was lost may stand anywhere.
    fn holes(&self, user: UserId, conv: &str, seen: &[Seen]) -> Vec<String> {
        let own = self.sent.values().filter(|sent| sent.sender == user);
        let mut unknown = own.clone().filter(|sent| matches!(sent.outcome, Outcome::Unknown(_))).count();
        let own: Vec<u64> = own
            .filter_map(|sent| match &sent.outcome {
                Outcome::Acked { conv: at, seq, .. } if **at == *conv => Some(*seq),
                _ => None,
            })
            .collect();
        let last = seen.iter().map(|seen| seen.seq).max().unwrap_or(0);
        let is_filled = |seq: &u64| own.contains(seq) || seen.iter().any(|seen| seen.seq == *seq);
        let holes = (1..last).filter(|seq| !is_filled(seq));
        holes
            .filter(|_| unknown.checked_sub(1).map(|left| unknown = left).is_none())
            .map(|seq| format!("user {user}: nothing at {conv} {seq}, although {last} came"))
            .collect()
    }
}

impl Sent {
    fn is_for(&self, user: UserId, message: &Message) -> bool {
        let to = match self.to {
            Target::User(_) => Target::User(user),
            group => group,
        };
        self.recipients.contains(&user)
            && (self.sender, self.text.as_str(), to) == (message.id, message.msg.as_str(), message.target)
    }

    fn acked_after(&self) -> Option<Duration> {
        match self.outcome {
            Outcome::Acked { after, .. } => Some(after),
            _ => None,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { acked, unknown, delivered, slowest_ack, slowest_delivery } = self;
        write!(
            f,
            "{acked} acknowledged (the slowest after {slowest_ack:.1?}), {unknown} unknown, {delivered} delivered (the \
             slowest after {slowest_delivery:.1?})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: UserId = 1;
    const RECIPIENT: UserId = 2;

    fn message(mid: u128, seq: u64) -> Message {
        let (conv, target, at) = ("d1-2".into(), Target::User(RECIPIENT), Instant::now());
        let (msg, mid) = (format!("text {mid}"), Some(Uuid::from_u128(mid)));
        Message { conv, seq, id: SENDER, name: String::new(), target, msg, time: 0, mid, own: false, at }
    }

    /// Messages 1, 2 and 3 are acknowledged at these places; what arrives must break so many promises.
    fn check(acked: [u64; 3], arrived: &[Message], user: UserId, broken: usize) {
        let ledger = Ledger::default();
        for (mid, seq) in (1..).zip(acked) {
            let conv = Some("d1-2".into());
            ledger.sent(Uuid::from_u128(mid), SENDER, Target::User(RECIPIENT), &format!("text {mid}"));
            ledger.outcome(Uuid::from_u128(mid), Ok(Acknowledged { conv, seq: Some(seq), time: Some(0) }));
        }
        arrived.iter().for_each(|message| ledger.seen(user, message));
        let found = [ledger.missing(), ledger.broken()].concat();
        assert_eq!(found.len(), broken, "{found:?}");
    }

    #[test]
    fn broken_promises_are_found() {
        let good = [message(1, 1), message(2, 2), message(3, 3)];
        check([1, 2, 3], &good, RECIPIENT, 0);
        check([1, 2, 3], &good[..2], RECIPIENT, 1);
        // The middle one is lost, which is a hole too.
        check([1, 2, 3], &[message(1, 1), message(3, 3)], RECIPIENT, 2);
        // A message that comes again in a later session is dropped by every client; under another place it is not.
        check([1, 2, 3], &[&good[..], &good[..1]].concat(), RECIPIENT, 0);
        check([1, 2, 3], &[&good[..], &[message(1, 4)]].concat(), RECIPIENT, 1);
        check([1, 2, 3], &[message(2, 2), message(1, 1), message(3, 3)], RECIPIENT, 1);
        check([1, 2, 3], &[&good[..], &[message(9, 4)]].concat(), RECIPIENT, 1);
        check([1, 2, 2], &good, RECIPIENT, 3);
        check([1, 2, 3], &good, 3, 6);
    }
}
