//! Recovery is bounded: what somebody sends after a fault has healed is acknowledged within [`BOUND`], counted from when it was sent.

use super::facts::{Facts, Message};
use super::{Finding, Violation};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest way back: a lease (8 s), a client that finds out (6 s) and reconnects, a database that recovers, and a busy
/// machine.
pub const BOUND: Duration = Duration::from_secs(60);

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    for (what, _, healed) in &facts.faults {
        let Some(healed) = *healed else { continue };
        for (user, message) in first_after(facts, healed) {
            match recovered_after(facts, message) {
                Some(after) if after <= BOUND => finding.judge(None),
                Some(_) => {
                    let told =
                        format!("user {user} was served again only {BOUND:?} and more after {what:?} had healed");
                    finding.judge(Some(Violation { what: told, events: evidence(healed, message) }));
                }
                // Whoever left, or was told no, has nothing to wait for.
                None if facts.session_at(user, facts.entries.len()).is_none() => {}
                None if !message.refusals.is_empty() => {}
                None => {
                    let told = format!("user {user} was not served again after {what:?} had healed");
                    finding.judge(Some(Violation { what: told, events: evidence(healed, message) }));
                }
            }
        }
    }
}

/// How long after the end of a fault it took until the last of those who went on had an acknowledgement.
pub fn slowest(facts: &Facts<'_>) -> Option<Duration> {
    let healed = facts.faults.iter().filter_map(|(_, _, healed)| *healed);
    let waits = healed.flat_map(|healed| {
        let begun = facts.entries[healed].t;
        let acked = first_after(facts, healed).into_values().filter_map(|message| message.acknowledged());
        acked.map(move |(acked, _)| Duration::from_micros(facts.entries[acked].t.saturating_sub(begun)))
    });
    waits.max()
}

/// The first message that each user sent after an event.
fn first_after<'f, 'a>(facts: &'f Facts<'a>, event: usize) -> BTreeMap<u64, &'f Message<'a>> {
    let mut first: BTreeMap<u64, &Message<'_>> = BTreeMap::new();
    for message in facts.messages.iter().filter(|message| message.first_sent() > event) {
        first.entry(message.sender).or_insert(message);
    }
    first
}

fn recovered_after(facts: &Facts<'_>, message: &Message<'_>) -> Option<Duration> {
    let (acked, _) = message.acknowledged()?;
    let sent = facts.entries[message.first_sent()].t;
    Some(Duration::from_micros(facts.entries[acked].t.saturating_sub(sent)))
}

fn evidence(healed: usize, message: &Message<'_>) -> Vec<usize> {
    [healed].into_iter().chain(message.events()).collect()
}
