//! What a story's history comes to: its messages, and its phases.

use judge::Facts;

/// What became of one stored message; times in microseconds of the history.
pub(super) struct Message {
    pub sent: u64,
    pub acked: u64,
    pub delivered: Vec<u64>,
    /// Recipients who had all the time for it and do not have it.
    pub lost: usize,
}

/// A part of the story: between two faults, or while one lasts.
pub(super) struct Phase {
    pub name: String,
    pub from: u64,
    pub to: u64,
    pub is_fault: bool,
}

/// All messages that were stored.
pub(super) fn messages(facts: &Facts<'_>) -> Vec<Message> {
    let time = |event: usize| facts.entries[event].t;
    let stored = facts.messages.iter().filter(|message| message.is_stored());
    let told = stored.filter_map(|message| {
        let (acked, _) = message.acknowledged()?;
        let mut reached: Vec<(u64, u64)> = Vec::new();
        for push in message.pushes.iter().map(|push| &facts.pushes[*push]) {
            if !reached.iter().any(|(user, _)| *user == push.who.user) {
                reached.push((push.who.user, time(push.event)));
            }
        }
        let recipients = facts.recipients(message);
        let missing = |user: &&u64| facts.drained.contains(user) && !reached.iter().any(|(other, _)| other == *user);
        let lost = recipients.iter().filter(missing).count();
        let delivered = reached.into_iter().map(|(_, at)| at).collect();
        Some(Message { sent: time(message.first_sent()), acked: time(acked), delivered, lost })
    });
    told.collect()
}

/// All of them, in order.
pub(super) fn phases(facts: &Facts<'_>) -> Vec<Phase> {
    let time = |event: usize| facts.entries[event].t;
    let end = facts.entries.last().map_or(0, |entry| entry.t);
    let mut phases = Vec::new();
    let mut since = facts.messages.first().map_or(0, |message| time(message.first_sent()));
    for (what, begun, healed) in &facts.faults {
        let (from, to) = (time(*begun), healed.map_or(end, time));
        if from > since {
            phases.push(Phase { name: "all well".into(), from: since, to: from, is_fault: false });
        }
        phases.push(Phase { name: (*what).into(), from, to, is_fault: true });
        since = to;
    }
    let last = facts.messages.iter().map(|message| time(message.first_sent())).max().unwrap_or_default();
    if last > since {
        phases.push(Phase { name: "all well".into(), from: since, to: last, is_fault: false });
    }
    phases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_lie_around_faults() {
        use judge::history::{Entry, Event, To};
        let fault = |healed| Event::Fault { what: "kill <b>".into(), healed };
        let send = |number: u128| Event::Send {
            user: 1,
            session: 1,
            to: To::User(2),
            mid: uuid::Uuid::from_u128(number),
            body: 1,
            qos: 1,
            due: 0,
            again: false,
        };
        let events = [send(1), fault(false), send(2), fault(true), send(3)];
        let entries: Vec<_> = (1..).zip(events).map(|(t, event)| Entry { t: t * 1_000_000, event }).collect();
        let phases = phases(&Facts::new(&entries));
        let told: Vec<_> =
            phases.iter().map(|phase| (phase.from / 1_000_000, phase.to / 1_000_000, phase.is_fault)).collect();
        assert_eq!(told, [(1, 2, false), (2, 4, true), (4, 5, false)]);
    }
}
