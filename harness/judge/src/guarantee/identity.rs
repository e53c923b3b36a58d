//! G8: who you are is your session. A claim to be somebody else is refused, and a push names who really sent it.

use super::{Facts, Finding, Violation};
use std::collections::HashMap;
use uuid::Uuid;

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    for (event, user, claimed, done) in &facts.claims {
        let wrong = *done && user != claimed;
        let what = || format!("user {user} could act as user {claimed}");
        finding.judge(wrong.then(|| Violation { what: what(), events: vec![*event] }));
    }
    let senders: HashMap<Uuid, usize> =
        facts.messages.iter().enumerate().map(|(place, message)| (message.mid, place)).collect();
    for push in &facts.pushes {
        let Some(message) = push.mid.and_then(|mid| senders.get(&mid)).map(|place| &facts.messages[*place]) else {
            continue;
        };
        let wrong = message.sender != push.from && facts.message(push).is_none();
        finding.judge(wrong.then(|| {
            let events = message.events().into_iter().chain([push.event]).collect();
            Violation { what: format!("user {} sent it, and user {} is named", message.sender, push.from), events }
        }));
    }
}
