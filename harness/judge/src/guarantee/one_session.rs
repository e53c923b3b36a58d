//! G6: of two sessions of one user at most one is served.
//!
//! A client learns late that it was replaced, so that two open sessions prove nothing. Two that are both served do: one
//! that had a message accepted that it sent after the other had begun, or that is pushed to long after. One that is
//! replaced or lost as soon as it is told of proves nothing either: it may have begun first, and its LOGIN_ACK have
//! come last, as all that a client reads does that slept meanwhile. And one whose login a failover has lost goes on
//! until its node has renewed its lease, or lost it.

use super::{Facts, Finding, Session, Violation};
use crate::facts::GRACE_MICROS;
use crate::history::{Event, Who};
use std::collections::HashMap;
use uuid::Uuid;

/// A session whose login the database has lost is served until its node's lease is over, in microseconds.
const LEASE_MICROS: u64 = 8_000_000;

/// Where another session began, and from when on the one before must not be served.
#[derive(Clone, Copy)]
struct Replaced {
    by: usize,
    from: u64,
}

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    let mut replaced: HashMap<Who, Replaced> = HashMap::new();
    let mut sessions: Vec<(&Who, &Session<'_>)> = facts.sessions.iter().collect();
    sessions.sort_unstable_by_key(|(who, session)| (who.user, session.begun));
    for (place, (one, first)) in sessions.iter().enumerate() {
        let others = sessions[place + 1..].iter().take_while(|(other, _)| other.user == one.user);
        if let Some((_, second)) = others.into_iter().find(|(_, other)| facts.certainly_began_last(other)) {
            // A session that ended before the next began cannot be served any more; others are looked at below.
            finding.judge(None);
            if first.ended.is_none_or(|(end, _)| end > second.begun) {
                let from = facts.lost_at(**one).map_or(0, |lost| facts.entries[lost].t + LEASE_MICROS);
                replaced.insert(**one, Replaced { by: second.begun, from });
            }
        }
    }
    if !replaced.is_empty() {
        check_served(facts, &replaced, finding);
    }
}

fn check_served(facts: &Facts<'_>, replaced: &HashMap<Who, Replaced>, finding: &mut Finding) {
    // The same message may be sent again in a later session.
    let mut sent: HashMap<(Who, Uuid), usize> = HashMap::new();
    for (place, entry) in facts.entries.iter().enumerate() {
        match &entry.event {
            Event::Send { user, session, mid, .. } => {
                let who = Who { user: *user, session: *session };
                if replaced.contains_key(&who) {
                    sent.insert((who, *mid), place);
                }
            }
            Event::Ack { user, session, mid, seq, .. } => {
                let who = Who { user: *user, session: *session };
                let Some(Replaced { by, from }) = replaced.get(&who).copied() else { continue };
                // What is stored asks the session's row; what is relayed goes by the lease.
                let is_late = |sent: &usize| *sent > by && (seq.is_some() || facts.entries[*sent].t >= from);
                if let Some(sent) = sent.get(&(who, *mid)).copied().filter(is_late) {
                    let what = format!("user {user}: a replaced session had a message accepted");
                    finding.judge(Some(Violation { what, events: vec![by, sent, place] }));
                }
            }
            Event::Push { user, session, from, mid, .. } => {
                let who = Who { user: *user, session: *session };
                let Some(replaced) = replaced.get(&who).copied() else { continue };
                // What was said before may have been on its way all the time: networks can be slow, or broken.
                let message = mid.and_then(|mid| facts.message_of(*from, mid));
                let is_late = |sent: usize| sent > replaced.by && facts.entries[sent].t >= replaced.from;
                let is_new = message.is_none_or(|message| is_late(message.first_sent()));
                if is_new && entry.t > facts.entries[replaced.by].t + GRACE_MICROS {
                    let what = format!("user {user}: a replaced session was pushed to");
                    finding.judge(Some(Violation { what, events: vec![replaced.by, place] }));
                }
            }
            _ => {}
        }
    }
}
