//! Recovery is bounded: what somebody sends after a fault has healed is acknowledged within [`BOUND`], counted from
//! when it was sent.

use super::{Facts, Finding, Message, Violation};
use crate::history::{LEFT, To, Who};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// The longest way back: a lease (8 s), a client that finds out (6 s) and reconnects, a database that recovers, and a
/// busy machine.
pub const BOUND: Duration = Duration::from_secs(60);

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    for (what, _, healed) in &facts.faults {
        let Some(healed) = *healed else { continue };
        for (user, comeback) in comebacks(facts, healed) {
            if is_disturbed(facts, healed, &comeback) {
                continue;
            }
            finding.judge(late(facts, &comeback).map(|told| Violation {
                what: format!("user {user} was {told} after {what:?} had healed"),
                events: [healed, comeback.sent].into_iter().chain(comeback.acked).collect(),
            }));
        }
    }
}

/// How long after the end of a fault it took until the last of those who went on had an acknowledgement.
pub fn slowest(facts: &Facts<'_>) -> Option<Duration> {
    let healed = facts.faults.iter().filter_map(|(_, _, healed)| *healed);
    let acked = |healed: usize| {
        let all = comebacks(facts, healed).into_values().filter(move |comeback| !is_disturbed(facts, healed, comeback));
        let all = all.filter_map(|comeback| comeback.acked);
        all.map(move |acked| between(facts, healed, acked))
    };
    healed.flat_map(acked).max()
}

/// How somebody came back after a fault.
struct Comeback {
    /// The first message sent after it.
    sent: usize,
    /// The first acknowledgement of any message sent after it.
    acked: Option<usize>,
    was_refused: bool,
    /// Some of these was sent in a session that is still there, or ended by a LOGOUT, which waits for all
    /// acknowledgements of what is on its way.
    is_owed: bool,
}

fn comebacks(facts: &Facts<'_>, healed: usize) -> BTreeMap<u64, Comeback> {
    let mut comebacks: BTreeMap<u64, Comeback> = BTreeMap::new();
    let held = held_back(facts);
    let is_answered = |message: &&Message<'_>| !facts.unanswered.contains(&message.sender);
    let after = facts.messages.iter().filter(|message| message.first_sent() > healed);
    for message in after.filter(is_answered) {
        let sent = message.first_sent();
        let known = comebacks.entry(message.sender).or_insert(Comeback {
            sent,
            acked: None,
            was_refused: false,
            is_owed: false,
        });
        let acked = message.acknowledged().map(|(acked, _)| acked);
        known.acked = [known.acked, acked].into_iter().flatten().min();
        known.was_refused |= message.refusals.iter().any(|(_, _, retryable)| !retryable);
        known.is_owed |= message.sends.iter().any(|sent| {
            let who = Who { user: message.sender, session: sent.session };
            is_owed(facts, who, held.contains(&(who, message.to)))
        });
    }
    comebacks
}

/// Something else was broken meanwhile: a wait may be due to that.
fn is_disturbed(facts: &Facts<'_>, healed: usize, comeback: &Comeback) -> bool {
    let until = comeback.acked.unwrap_or(facts.entries.len());
    let meanwhile = |begun: usize, ended: Option<usize>| begun < until && ended.is_none_or(|end| end > healed);
    facts.faults.iter().any(|(_, begun, ended)| *ended != Some(healed) && meanwhile(*begun, *ended))
}

/// What is wrong with a comeback, if anything.
fn late(facts: &Facts<'_>, comeback: &Comeback) -> Option<String> {
    match comeback.acked {
        Some(acked) if between(facts, comeback.sent, acked) <= BOUND => None,
        Some(_) => Some(format!("served again only {BOUND:?} and more")),
        // Whoever was told no has nothing to wait for, nor has a client that lost its session and sent nothing since.
        None if comeback.was_refused || !comeback.is_owed => None,
        None => Some("not served again".into()),
    }
}

fn is_owed(facts: &Facts<'_>, who: Who, is_held_back: bool) -> bool {
    let session = facts.sessions.get(&who);
    session.is_some_and(|session| session.ended.is_none_or(|(_, why)| why == LEFT && !is_held_back))
}

/// Sessions and targets with a message that was refused for now, and never answered: until its client sends it again,
/// that holds back what else is said to the same target, and LOGOUT does not wait for it.
fn held_back(facts: &Facts<'_>) -> HashSet<(Who, To)> {
    let is_open = |message: &&Message<'_>| {
        message.acks.is_empty() && !message.refusals.is_empty() && message.refusals.iter().all(|refusal| refusal.2)
    };
    let open = facts.messages.iter().filter(is_open);
    open.flat_map(|message| {
        message.sends.iter().map(|sent| (Who { user: message.sender, session: sent.session }, message.to))
    })
    .collect()
}

fn between(facts: &Facts<'_>, from: usize, to: usize) -> Duration {
    Duration::from_micros(facts.entries[to].t.saturating_sub(facts.entries[from].t))
}
