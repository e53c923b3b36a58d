//! G4: the same `mid` is the same message at the same place, however often it is sent; a different message under it is
//! refused.

use super::{Facts, Finding, Message, Place, Violation};

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    for message in facts.messages.iter().filter(|message| message.sends.len() > 1) {
        let first = &message.sends[0];
        let differs = message.sends.iter().any(|sent| (sent.to, sent.body) != (first.to, first.body));
        finding.judge(two_places(facts, message).or_else(|| if differs { accepted_both(message) } else { None }));
    }
    // A message that was sent once can stand at two places as well.
    for message in facts.messages.iter().filter(|message| message.sends.len() == 1) {
        if let Some(violation) = two_places(facts, message) {
            finding.judge(Some(violation));
        }
    }
}

fn two_places(facts: &Facts<'_>, message: &Message<'_>) -> Option<Violation> {
    let acked = message.acks.iter().filter_map(|(event, place)| Some((*event, (*place)?)));
    let pushed = message.pushes.iter().map(|push| &facts.pushes[*push]).filter(|push| push.seq > 0);
    let pushed = pushed.map(|push| (push.event, (push.conv, push.seq)));
    let mut seen: Vec<(usize, Place<'_>)> = acked.chain(pushed).collect();
    seen.sort_unstable();
    let sent = facts.entries[message.sends.first()?.event].t;
    // Sent again once it is kept no longer, it is a new message.
    let was_gone = |place: &Place<'_>, event: usize| {
        let kept_us = |kept_s: &u64| kept_s.saturating_mul(1_000_000);
        facts.removed.get(place).is_some_and(|kept_s| facts.entries[event].t >= sent.saturating_add(kept_us(kept_s)))
    };
    let mut last = None;
    let [(first_event, first), (other_event, other)] = seen.into_iter().find_map(|(event, place)| {
        if was_gone(&place, event) {
            return None;
        }
        let before = last.replace((event, place));
        let doubled = before.filter(|(_, before)| *before != place && !was_gone(before, event));
        doubled.map(|before| [before, (event, place)])
    })?;
    let what =
        format!("one message stands at number {} of {} and at number {} of {}", first.1, first.0, other.1, other.0);
    let events = message.sends.iter().map(|sent| sent.event).chain([first_event, other_event]).collect();
    Some(Violation { what, events })
}

/// Two different messages under one `mid`: as many refusals are due as there are sends of the later kind.
fn accepted_both(message: &Message<'_>) -> Option<Violation> {
    let first = &message.sends[0];
    let same = message.sends.iter().filter(|sent| (sent.to, sent.body) == (first.to, first.body)).count();
    (message.acks.len() > same).then(|| Violation {
        what: "a different message under a mid that was used already was acknowledged".into(),
        events: message.events(),
    })
}
