//! G1: what was acknowledged exists. Nobody else gets its place, and somebody who should have it does.

use super::{Facts, Finding, Message, Place, Violation};
use std::collections::HashMap;

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    let mut taken: HashMap<Place<'_>, &Message<'_>> = HashMap::new();
    for message in facts.messages.iter().filter(|message| message.is_stored()) {
        let Some((_, Some(place))) = message.acknowledged() else { continue };
        if let Some(other) = taken.insert(place, message) {
            let what = format!("two messages were acknowledged as number {} of {}", place.1, place.0);
            let events = message.events().into_iter().chain(other.events()).collect();
            finding.judge(Some(Violation { what, events }));
            continue;
        }
        match message.pushes.is_empty() {
            false => finding.judge(None),
            true => judge_unseen(facts, message, finding),
        }
    }
}

fn judge_unseen(facts: &Facts<'_>, message: &Message<'_>, finding: &mut Finding) {
    let recipients = facts.recipients(message);
    if recipients.is_empty() {
        // Nobody to deliver it to; that it is in the log only HISTORY could tell.
        return;
    }
    if recipients.iter().all(|user| facts.was_told_of_the_removal(message, *user)) {
        return finding.judge(None);
    }
    match recipients.iter().any(|user| facts.drained.contains(user)) {
        true => finding.judge(Some(Violation {
            what: format!("acknowledged, and no recipient ever got it: {recipients:?}"),
            events: message.events(),
        })),
        false => finding.open += 1,
    }
}
