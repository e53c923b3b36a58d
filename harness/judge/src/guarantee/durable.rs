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
    let mut owed = facts.recipients(message);
    if owed.is_empty() {
        // Nobody to deliver it to; that it is in the log only HISTORY could tell.
        return;
    }
    owed.retain(|user| !facts.was_told_of_the_removal(message, *user));
    if owed.is_empty() {
        finding.judge(None);
    } else if owed.iter().any(|user| facts.drained.contains(user)) {
        let what = format!("acknowledged, and no recipient ever got it: {owed:?}");
        finding.judge(Some(Violation { what, events: message.events() }));
    } else {
        finding.open += 1;
    }
}
