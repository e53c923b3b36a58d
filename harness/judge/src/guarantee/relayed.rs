//! What can be judged of messages that are relayed (`qos` 0): they may be lost, but none comes twice in a session, and
//! those that one session sent to one conversation come in the order sent.
//!
//! Only those that were sent once: a client that does not know what became of one sends it again, and it may come
//! again. And only where the recipient is told the conversation: a classic client cannot tell what was relayed from
//! what came through the database. Where there is nothing else nothing is judged: that they come at all is not
//! promised.

use super::{Facts, Finding, Message, Push, Violation};
use crate::history::Who;
use std::collections::{HashMap, HashSet};

/// Pushes of such messages, each with its message.
fn pushes<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (&'a Push<'a>, &'a Message<'a>)> {
    let is_relayed = |push: &&Push<'_>| push.seq == 0 && !push.conv.is_empty() && !facts.unacknowledged;
    let relayed = facts.pushes.iter().filter(is_relayed);
    let of = relayed.filter_map(|push| Some((push, facts.message(push)?)));
    of.filter(|(_, message)| message.qos == 0 && message.sends.len() == 1)
}

/// G2.
pub fn check_repeats(facts: &Facts<'_>, finding: &mut Finding) {
    let mut seen = HashSet::new();
    for (push, message) in pushes(facts) {
        if !seen.insert((push.who, message.sender, message.mid)) {
            let what = format!("relayed twice in one session of user {}", push.who.user);
            finding.judge(Some(Violation { what, events: vec![message.first_sent(), push.event] }));
        }
    }
}

/// G3.
pub fn check_order(facts: &Facts<'_>, finding: &mut Finding) {
    let mut latest: HashMap<(Who, Who, &str), usize> = HashMap::new();
    for (push, message) in pushes(facts) {
        let (sent, sender) = (message.first_sent(), Who { user: message.sender, session: message.sends[0].session });
        let before = latest.insert((push.who, sender, push.conv), sent).unwrap_or_default();
        if before > sent {
            let what = format!("user {} got a relayed message after one that was sent later", push.who.user);
            finding.judge(Some(Violation { what, events: vec![sent, before, push.event] }));
        }
    }
}
