//! Recovery is bounded: what somebody sends after a fault has healed is acknowledged within [`BOUND`], counted from when it was sent.

use super::facts::Facts;
use super::{Finding, Violation};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest way back: a lease (8 s), a client that finds out (6 s) and reconnects, a database that recovers, and a busy
/// machine.
pub const BOUND: Duration = Duration::from_secs(60);

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    for (what, _, healed) in &facts.faults {
        let Some(healed) = *healed else { continue };
        for (user, comeback) in comebacks(facts, healed) {
            finding.judge(late(facts, user, &comeback).map(|told| Violation {
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
        let all = comebacks(facts, healed).into_values().filter_map(|comeback| comeback.acked);
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
}

fn comebacks(facts: &Facts<'_>, healed: usize) -> BTreeMap<u64, Comeback> {
    let mut comebacks: BTreeMap<u64, Comeback> = BTreeMap::new();
    for message in facts.messages.iter().filter(|message| message.first_sent() > healed) {
        let sent = message.first_sent();
        let known = comebacks.entry(message.sender).or_insert(Comeback { sent, acked: None, was_refused: false });
        let acked = message.acknowledged().map(|(acked, _)| acked);
        known.acked = [known.acked, acked].into_iter().flatten().min();
        known.was_refused |= !message.refusals.is_empty();
    }
    comebacks
}

/// What is wrong with a comeback, if anything.
fn late(facts: &Facts<'_>, user: u64, comeback: &Comeback) -> Option<String> {
    match comeback.acked {
        Some(acked) if between(facts, comeback.sent, acked) <= BOUND => None,
        Some(_) => Some(format!("served again only {BOUND:?} and more")),
        // Whoever left, or was told no, has nothing to wait for.
        None if comeback.was_refused || facts.session_at(user, facts.entries.len()).is_none() => None,
        None => Some("not served again".into()),
    }
}

fn between(facts: &Facts<'_>, from: usize, to: usize) -> Duration {
    Duration::from_micros(facts.entries[to].t.saturating_sub(facts.entries[from].t))
}
