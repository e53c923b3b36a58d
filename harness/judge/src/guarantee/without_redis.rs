//! G7: with Redis gone, logins work, and what is acknowledged arrives all the same.

use super::{Facts, Finding, delivered_once};

/// What a fault must name to be one of Redis.
const REDIS: &str = "redis";

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    for (what, begun, ended) in &facts.faults {
        if !what.split_whitespace().any(|word| word == REDIS) {
            continue;
        }
        let during = *begun..ended.unwrap_or(facts.entries.len());
        let acked = |event: usize| during.contains(&event);
        let messages = facts.messages.iter().filter(|message| message.is_stored());
        messages
            .filter(|message| message.acknowledged().is_some_and(|(event, _)| acked(event)))
            .for_each(|message| delivered_once::check_message(facts, message, finding));
        let logins = facts.sessions.values().filter(|session| during.contains(&session.begun));
        logins.for_each(|_| finding.judge(None));
    }
}
