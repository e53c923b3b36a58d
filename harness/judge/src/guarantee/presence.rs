//! Presence converges: the last that everybody saw of a friend is how the friend is.
//!
//! Presence may be late, so only the last look counts; who takes looks gives them the time for it.

use super::{Facts, Finding, Violation};

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    for ((user, friend), (event, online)) in &facts.looks {
        let session = facts.session_at(*friend, *event);
        let wrong = session.is_some() != *online;
        finding.judge(wrong.then(|| {
            let (seen, is) = if *online { ("online", "offline") } else { ("offline", "online") };
            let what = format!("user {user} last saw user {friend} {seen}, who was {is}");
            Violation { what, events: session.into_iter().chain([*event]).collect() }
        }));
    }
}
