//! G5: nothing is pushed that was not sent, or was refused for good, or is for somebody else.

use super::{Facts, Finding, Push, Violation};

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    for push in &facts.pushes {
        // Of those who take no part here nobody knows what they sent.
        if facts.knows(push.from) {
            finding.judge(wrong(facts, push));
        }
    }
}

fn wrong(facts: &Facts<'_>, push: &Push<'_>) -> Option<Violation> {
    let violation = |what: String, mut events: Vec<usize>| {
        events.push(push.event);
        Some(Violation { what, events })
    };
    let Some(message) = facts.message(push) else {
        return violation(format!("user {} never sent this", push.from), Vec::new());
    };
    if message.first_sent() > push.event {
        return violation("pushed before it was sent".into(), message.events());
    }
    if !message.sends.iter().any(|sent| sent.body == push.body) {
        return violation("the text is not the one sent".into(), message.events());
    }
    if !facts.may_receive(message, push.who.user, push.event) {
        return violation(format!("user {} is no recipient", push.who.user), message.events());
    }
    let refused = message.refusals.iter().any(|(_, _, retryable)| !retryable);
    if refused && message.acks.is_empty() {
        return violation("refused for good, and pushed".into(), message.events());
    }
    None
}
