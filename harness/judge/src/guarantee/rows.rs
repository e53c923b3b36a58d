//! The database holds what was acknowledged, each at its place, and nothing else of these conversations.

use super::no_phantoms::is_refused;
use super::{Facts, Finding, Place, Row, Violation};
use std::collections::{HashMap, HashSet};

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    let Some(read) = facts.rows_read else { return };
    let rows: HashMap<Place<'_>, &Row<'_>> = facts.rows.iter().map(|row| ((row.conv, row.seq), row)).collect();
    let filled: HashSet<Place<'_>> = facts.rows.iter().map(|row| (whole_log(row.conv), row.seq)).collect();
    let mut convs: HashSet<&str> = HashSet::new();
    for message in facts.messages.iter().filter(|message| message.is_stored()) {
        let Some((acked, Some(place))) = message.acknowledged() else { continue };
        convs.insert(place.0);
        let row = rows.get(&place);
        let is_there =
            row.is_some_and(|row| (row.sender, row.mid, row.body) == (message.sender, message.mid, message.body));
        finding.judge((!is_there).then(|| {
            let what =
                format!("acknowledged as number {} of {}, where the database has another or none", place.1, place.0);
            Violation {
                what,
                events: row.map(|row| row.event).into_iter().chain([message.first_sent(), acked, read]).collect(),
            }
        }));
    }
    for row in facts.rows.iter().filter(|row| convs.contains(row.conv)) {
        finding.judge(wrong(facts, row, &filled));
    }
}

/// A log that has lost its end goes on under another name, and its numbers go on.
fn whole_log(conv: &str) -> &str {
    conv.split_once('.').map_or(conv, |(log, _)| log)
}

/// A row that nobody sent, that was refused for good, or that has nothing before it.
fn wrong(facts: &Facts<'_>, row: &Row<'_>, filled: &HashSet<Place<'_>>) -> Option<Violation> {
    let violation = |what: &str, events: Vec<usize>| Some(Violation { what: what.into(), events });
    if row.seq > 1 && !filled.contains(&(whole_log(row.conv), row.seq - 1)) {
        return violation("the database has nothing right before this", vec![row.event]);
    }
    // Of those who take no part here nobody knows what they sent.
    if !facts.knows(row.sender) {
        return None;
    }
    let Some(message) = facts.message_of(row.sender, row.mid) else {
        return violation("the database has a message that nobody sent", vec![row.event]);
    };
    let mut events = message.events();
    events.push(row.event);
    match () {
        () if !message.sends.iter().any(|sent| sent.body == row.body) => {
            violation("the database has another text than was sent", events)
        }
        () if is_refused(message) => violation("refused for good, and in the database", events),
        () => None,
    }
}
