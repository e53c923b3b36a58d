//! G3: everybody sees a conversation in the order of `seq`, without holes but one's own messages, and `seq` follows the
//! order sent.

use super::{Facts, Finding, Place, Push, Violation, relayed, unacknowledged};
use crate::history::Who;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    let places = places(facts, finding);
    let mut last: HashMap<(Who, &str), &Push<'_>> = HashMap::new();
    for push in facts.pushes.iter().filter(|push| push.seq > 0) {
        let before = last.insert((push.who, push.conv), push);
        let violation = before.and_then(|before| match before.seq.cmp(&push.seq) {
            std::cmp::Ordering::Greater => Some(Violation {
                what: format!(
                    "user {} got number {} of {} after number {}",
                    push.who.user, push.seq, push.conv, before.seq
                ),
                events: vec![before.event, push.event],
            }),
            // G2's business.
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Less => hole(facts, before, push, &places),
        });
        finding.judge(violation);
    }
    check_senders(facts, finding);
    relayed::check_order(facts, finding);
    if facts.unacknowledged {
        unacknowledged::check_order(facts, finding);
    }
}

/// Who said what at each place, as far as anybody was told; two answers are a violation.
fn places<'a>(facts: &Facts<'a>, finding: &mut Finding) -> HashMap<Place<'a>, (u64, Option<Uuid>, usize)> {
    let acked = facts.messages.iter().flat_map(|message| {
        let placed = message.acks.iter().filter_map(|(event, place)| Some((*event, (*place)?)));
        placed.map(|(event, place)| (place, (message.sender, Some(message.mid), event)))
    });
    let pushed = facts.pushes.iter().filter(|push| push.seq > 0);
    let pushed = pushed.map(|push| ((push.conv, push.seq), (push.from, push.mid, push.event)));
    let mut places: HashMap<Place<'a>, (u64, Option<Uuid>, usize)> = HashMap::new();
    for (place, said) in acked.chain(pushed) {
        let known = *places.entry(place).or_insert(said);
        if known.0 != said.0 || (known.1.is_some() && said.1.is_some() && known.1 != said.1) {
            let what = format!("number {} of {} is two different messages", place.1, place.0);
            finding.judge(Some(Violation { what, events: vec![known.2, said.2] }));
        }
    }
    places
}

/// A place between two pushes that was left out although it is somebody else's message, and the user was there all the
/// while.
fn hole(
    facts: &Facts<'_>,
    before: &Push<'_>,
    push: &Push<'_>,
    places: &HashMap<Place<'_>, (u64, Option<Uuid>, usize)>,
) -> Option<Violation> {
    let left_out = (before.seq + 1..push.seq)
        .filter(|seq| !facts.had_lost(push.who.user, (push.conv, *seq)))
        .find_map(|seq| places.get(&(push.conv, seq)).filter(|(from, ..)| *from != push.who.user))
        .filter(|(from, mid, _)| {
            let message = mid.and_then(|mid| facts.message_of(*from, mid));
            message.is_none_or(|message| facts.stays(message, push.who.user, before.event..push.event))
        });
    left_out.map(|(from, _, event)| Violation {
        what: format!(
            "user {} got number {} of {} right after number {}; one in between is from user {from}",
            push.who.user, push.seq, push.conv, before.seq
        ),
        events: vec![before.event, *event, push.event],
    })
}

/// Where a message was sent, its number, and where it was acknowledged.
type SentAndAcked = (usize, u64, usize);

/// What one session sent to one conversation once, and got acknowledged, must stand in the order sent.
fn check_senders(facts: &Facts<'_>, finding: &mut Finding) {
    let mut by_session: BTreeMap<(u64, u32, &str), Vec<SentAndAcked>> = BTreeMap::new();
    for message in &facts.messages {
        let [sent] = message.sends[..] else { continue };
        let Some((acked, Some((conv, seq)))) = message.acknowledged() else { continue };
        by_session.entry((message.sender, sent.session, conv)).or_default().push((sent.event, seq, acked));
    }
    for ((user, _, conv), mut sent) in by_session {
        sent.sort_unstable();
        for pair in sent.windows(2) {
            let wrong = pair[0].1 > pair[1].1;
            finding.judge(wrong.then(|| Violation {
                what: format!("user {user} sent number {} of {conv} before number {}", pair[0].1, pair[1].1),
                events: vec![pair[0].0, pair[0].2, pair[1].0, pair[1].2],
            }));
        }
    }
}
