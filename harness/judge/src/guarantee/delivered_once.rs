//! G2: every recipient gets every acknowledged message, and once in a session; what a session confirmed does not come
//! again.
//!
//! A session that is replaced or lost within `GRACE_MICROS` of its LOGIN_ACK proves no such repeat: it may have begun
//! before the one that confirmed, and its client only read the LOGIN_ACK late.

use super::{Facts, Finding, Message, Violation, relayed, unacknowledged};
use crate::history::{LEFT, Who};
use std::collections::{BTreeSet, HashMap};

/// What a fault must name to be one of the database.
const DATABASE: &str = "database";

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    for message in facts.messages.iter().filter(|message| message.is_stored()) {
        check_message(facts, message, finding);
    }
    check_repeats(facts, finding);
    relayed::check_repeats(facts, finding);
    if facts.unacknowledged {
        unacknowledged::check_deliveries(facts, finding);
    }
}

/// Judges the deliveries of one message; G7 does so for those acknowledged while Redis was gone.
pub(super) fn check_message(facts: &Facts<'_>, message: &Message<'_>, finding: &mut Finding) {
    if message.acknowledged().is_some() {
        check_recipients(facts, message, "acknowledged", finding);
    }
}

/// Judges the deliveries to everyone to whom the message is owed; `why` it is.
pub(super) fn check_recipients(facts: &Facts<'_>, message: &Message<'_>, why: &str, finding: &mut Finding) {
    let reached: BTreeSet<u64> = message.pushes.iter().map(|push| facts.pushes[*push].who.user).collect();
    for recipient in facts.recipients(message) {
        if reached.contains(&recipient) || facts.was_told_of_the_removal(message, recipient) {
            finding.judge(None);
        } else if facts.drained.contains(&recipient) {
            let what = format!("{why}, and user {recipient} never got it");
            finding.judge(Some(Violation { what, events: message.events() }));
        } else {
            finding.open += 1;
        }
    }
}

/// How far a session said that it had a conversation, and where it ended.
struct Confirmed {
    seq: u64,
    event: usize,
    end: usize,
}

fn check_repeats(facts: &Facts<'_>, finding: &mut Finding) {
    let mut confirmed: HashMap<(u64, &str), Confirmed> = HashMap::new();
    for (event, who, (conv, seq)) in &facts.received {
        let Some(session) = facts.sessions.get(who) else { continue };
        // What the server knew of it may have been lost.
        if facts.commits_lost.is_some_and(|lost| *event < lost) || facts.may_be_lost(*who) {
            continue;
        }
        // Only an end in good order promises that the server knows. LOGOUT is answered all the same where the database
        // is away, or where another node has taken the session over unnoticed.
        if let Some((end, LEFT)) = session.ended
            && !facts.is_broken(DATABASE, end)
            && !facts.may_be_replaced_between(who.user, session.begun..end)
        {
            let (one, key) = (Confirmed { seq: *seq, event: *event, end }, (who.user, *conv));
            if confirmed.get(&key).is_none_or(|known| known.seq < *seq) {
                confirmed.insert(key, one);
            }
        }
    }
    let mut seen: HashMap<(Who, &str, u64), usize> = HashMap::new();
    for push in facts.pushes.iter().filter(|push| push.seq > 0) {
        if let Some(before) = seen.insert((push.who, push.conv, push.seq), push.event) {
            let what = format!("pushed twice in one session of user {}", push.who.user);
            finding.judge(Some(Violation { what, events: vec![before, push.event] }));
        }
        let later = facts.sessions.get(&push.who).filter(|session| facts.certainly_began_last(session));
        if let Some(Confirmed { seq, event, end }) = confirmed.get(&(push.who.user, push.conv))
            && push.seq <= *seq
            && later.is_some_and(|session| session.begun > *end)
        {
            let what = format!("pushed again to user {}, who had confirmed it in an earlier session", push.who.user);
            finding.judge(Some(Violation { what, events: vec![*event, push.event] }));
        }
    }
}
