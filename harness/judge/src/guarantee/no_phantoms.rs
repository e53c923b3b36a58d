//! G5: nothing is pushed that was not sent, or was refused for good, or is for somebody else.

use super::{Facts, Finding, Message, Push, Violation};
use chat_protocol::errno::Errno;

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
    if !facts.may_receive(message, push.who, push.event) {
        return violation(format!("user {} is no recipient", push.who.user), message.events());
    }
    if is_refused(message) {
        return violation("refused for good, and pushed".into(), message.events());
    }
    None
}

/// Whether a message was refused for good, and never accepted.
pub(super) fn is_refused(message: &Message<'_>) -> bool {
    let is_final = |(event, code, retryable): &(usize, u64, bool)| {
        // Whoever is not logged in is not told what became of earlier tries: nobody looks for them.
        let is_blind = *code == u64::from(Errno::NotLoggedIn as u8);
        let tries = || message.sends.iter().filter(|sent| sent.event < *event).count();
        !retryable && (!is_blind || tries() == 1)
    };
    !message.was_acknowledged && message.refusals.iter().any(is_final)
}
