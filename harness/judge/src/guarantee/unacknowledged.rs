//! What can be judged where nothing is acknowledged and nothing has a place: the classic dialects.
//!
//! What was sent is owed to all recipients, and each sender's messages to one of them, or to one group, come in the
//! order sent. None comes twice, in one session or in two: these clients cannot tell a copy from a new message, and a
//! person would read it again. Only where a session broke, without either side having ended it, nobody knows what still
//! arrived: what came in it may come once more. What else the contract promises is about acknowledgements, and cannot
//! be judged.

use super::delivered_once::check_recipients;
use super::{Facts, Finding, Push, Violation};
use crate::history::{IN_DOUBT, To, Who};
use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};

/// What a judgement of such a history begins with.
pub const NOTICE: &str =
    "nothing is acknowledged in this dialect: what was sent is owed; G1, G4 and G7 cannot be judged";

/// G2: everything sent reaches everyone it is for, once.
pub fn check_deliveries(facts: &Facts<'_>, finding: &mut Finding) {
    for message in &facts.messages {
        check_recipients(facts, message, "sent", finding);
        let mut seen: HashMap<u64, &Push<'_>> = HashMap::new();
        for push in message.pushes.iter().map(|push| &facts.pushes[*push]) {
            if let Some(before) = seen.insert(push.who.user, push) {
                finding.judge(unlawful_copy(facts, before, push));
            }
        }
    }
}

fn unlawful_copy(facts: &Facts<'_>, before: &Push<'_>, push: &Push<'_>) -> Option<Violation> {
    let user = push.who.user;
    let what = if before.who == push.who {
        format!("pushed twice in one session of user {user}")
    } else if is_in_doubt(facts, before.who, push.who) {
        return None;
    } else {
        format!("pushed again in a later session of user {user}, whose client cannot tell")
    };
    Some(Violation { what, events: vec![before.event, push.event] })
}

/// Whether all sessions from the first up to the other ended without either side having said so.
fn is_in_doubt(facts: &Facts<'_>, first: Who, other: Who) -> bool {
    let mut between = facts.sessions.range(first..other);
    between.all(|(_, session)| session.ended.is_none_or(|(_, why)| why.starts_with(IN_DOUBT)))
}

/// G3: whoever gets several messages of one sender to the same audience first sees them in the order sent.
pub fn check_order(facts: &Facts<'_>, finding: &mut Finding) {
    let mut firsts: HashMap<(u64, usize), usize> = HashMap::new();
    for (number, message) in facts.messages.iter().enumerate() {
        for push in message.pushes.iter().map(|push| &facts.pushes[*push]) {
            firsts
                .entry((push.who.user, number))
                .and_modify(|first| *first = push.event.min(*first))
                .or_insert(push.event);
        }
    }
    let mut in_time: Vec<(usize, u64, usize)> =
        firsts.into_iter().map(|((user, number), event)| (event, user, number)).collect();
    in_time.sort_unstable();
    // Messages are numbered in the order sent.
    let mut latest: HashMap<(u64, u64, To), (usize, usize)> = HashMap::new();
    for (event, user, number) in in_time {
        let message = &facts.messages[number];
        match latest.entry((user, message.sender, message.to)) {
            Vacant(place) => _ = place.insert((number, event)),
            Occupied(mut place) => {
                let (before, shown) = *place.get();
                finding.judge((before > number).then(|| Violation {
                    what: format!("user {user} got a message of user {} after one that was sent later", message.sender),
                    events: vec![message.first_sent(), facts.messages[before].first_sent(), shown, event],
                }));
                if number > before {
                    place.insert((number, event));
                }
            }
        }
    }
}
