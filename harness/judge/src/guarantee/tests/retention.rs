//! Logs that get shorter: what HISTORY says of it, and who is told.

use super::*;

/// Four messages that arrive, then pages of HISTORY, each asked for once the one before was answered.
fn told(pages: impl IntoIterator<Item = Event>) -> Vec<Event> {
    let said = (1..=4).flat_map(|number| [send(number), ack(number, number), push(number, number)]);
    let mut events: Vec<Event> = said.chain([drained(BOB)]).collect();
    for mut page in pages {
        if let Event::Read { asked: asked @ NOW, .. } = &mut page {
            *asked = at(&events) - 1;
        }
        events.push(page);
    }
    events
}

/// When the next event happens.
fn at(events: &[Event]) -> u64 {
    history(events.to_vec()).len() as u64 * 1_000_000
}

const NOW: u64 = u64::MAX;

fn read(seqs: &[u64], first_seq: Option<u64>) -> Event {
    page(false, None, seqs, first_seq)
}

fn page(more: bool, before: Option<u64>, seqs: &[u64], first_seq: Option<u64>) -> Event {
    Event::Read { user: BOB, conv: DIRECT.into(), asked: NOW, before, seqs: seqs.to_vec(), more, first_seq }
}

/// Asked for when nobody had said anything, and answered late.
fn early(page: Event) -> Event {
    match page {
        Event::Read { user, conv, before, seqs, more, first_seq, .. } => {
            Event::Read { user, conv, asked: 0, before, seqs, more, first_seq }
        }
        other => other,
    }
}

#[test]
fn history_shows_a_log_from_its_beginning_to_its_end() {
    expect(&[], told([read(&[1, 2, 3, 4], None)]));
    expect(&[], told([page(true, None, &[3, 4], None), page(false, Some(3), &[1, 2], None)]));
    expect(&[], told([read(&[3, 4], Some(3))]));
    expect(&[], told([read(&[], Some(5))]));
    // Some of it was removed between the page and what it says of the beginning, or between two pages.
    expect(&[], told([read(&[2, 3, 4], Some(3))]));
    expect(&[], told([page(true, None, &[3, 4], None), page(false, Some(3), &[], Some(4))]));
    // What was said later it need not show.
    expect(&[], told([early(read(&[], None))]));

    for wrong in [
        read(&[1, 2, 4], None),
        read(&[1, 2, 3], None),
        read(&[3, 4], None),
        read(&[3, 4], Some(2)),
        read(&[], None),
        page(false, Some(4), &[1, 2], None),
        page(true, None, &[1, 2, 3, 4], None),
        page(true, None, &[3, 4], Some(3)),
        page(true, None, &[], None),
        // More than was asked for.
        page(false, Some(3), &[1, 2, 3, 4], None),
        page(false, Some(4), &[1, 2, 3, 4], None),
    ] {
        expect(&[LogBegins], told([wrong]));
    }
    // Of this log nobody was told anything yet.
    expect(&[LogBegins], told([early(page(true, None, &[], None))]));
}

#[test]
fn beginning_of_a_log_moves_forward_only() {
    expect(&[], told([read(&[2, 3, 4], Some(2)), read(&[3, 4], Some(3))]));
    expect(&[LogBegins], told([read(&[3, 4], Some(3)), read(&[2, 3, 4], Some(2))]));
    expect(&[LogBegins], told([read(&[3, 4], Some(3)), page(true, None, &[2, 3, 4], None)]));
    // Asked for before the other was answered.
    expect(&[], told([read(&[3, 4], Some(3)), early(read(&[2, 3, 4], Some(2)))]));
}

#[test]
fn history_may_be_read_at_a_server_that_lags() {
    let lagging = |pages: &[Event]| [Event::HistoryMayLag].into_iter().chain(told(pages.to_vec())).collect::<Vec<_>>();
    // It need not show what others were told, nor what another page showed.
    expect(&[], lagging(&[read(&[1, 2, 3], None)]));
    expect(&[], lagging(&[page(true, None, &[3, 4], None), page(false, Some(3), &[1], None)]));
    expect(&[], lagging(&[read(&[3, 4], Some(3)), read(&[1, 2, 3, 4], None)]));
    // What one page says is of one server.
    for wrong in [
        read(&[1, 3, 4], None),
        read(&[3, 4], Some(2)),
        page(true, None, &[1, 2], None),
        page(true, None, &[], None),
        page(false, Some(3), &[1, 2, 3, 4], None),
    ] {
        expect(&[LogBegins], lagging(&[wrong]));
    }
}

#[test]
fn history_hides_nothing_that_is_there() {
    let row = |seq| Event::Row { conv: DIRECT.into(), seq, sender: ALICE, mid: mid(seq), body: seq };
    let removed = |seq| Event::Removed { conv: DIRECT.into(), seq, kept_s: 0 };
    let with = |gone: u64| {
        let rows = (1..=4).map(row).chain((1..=gone).map(removed)).chain([Event::RowsRead]);
        told([read(&[3, 4], Some(3))].into_iter().chain(rows))
    };
    expect(&[], with(2));
    expect(&[], with(3));
    expect(&[LogBegins], with(1));
}

#[test]
fn who_is_told_of_what_was_removed_is_owed_it_no_longer() {
    let gap = Event::Gap { user: BOB, session: 1, conv: DIRECT.into(), first: 1, last: 1 };
    let removed = Event::Removed { conv: DIRECT.into(), seq: 1, kept_s: 0 };
    let with = |more: &[Event]| {
        let said = [send(1), ack(1, 1), send(2), ack(2, 2), push(2, 2), drained(BOB)];
        said.into_iter().chain(more.to_vec()).collect::<Vec<_>>()
    };
    expect(&[], with(&[Event::RemovesUnreceived, gap.clone(), removed.clone()]));
    for wrong in [
        // What nobody received waits, unless there is a limit.
        vec![gap.clone(), removed.clone()],
        vec![gap.clone(), Event::RemovesUnreceived, removed.clone()],
        vec![Event::RemovesUnreceived, removed],
        vec![Event::RemovesUnreceived, gap],
    ] {
        expect(&[Durable, DeliveredOnce], with(&wrong));
    }
}

#[test]
fn who_is_told_of_a_removal_says_nothing_of_the_others() {
    let conv = format!("g{GROUP}");
    let joined = [ALICE, BOB, CAROL].map(|user| Event::Joined { group: GROUP, user });
    let gap = Event::Gap { user: BOB, session: 1, conv: conv.clone(), first: 1, last: 1 };
    let removed = Event::Removed { conv: conv.clone(), seq: 1, kept_s: 0 };
    let told = joined.into_iter().chain([Event::RemovesUnreceived, login(CAROL, 1)]);
    let told = told.chain([send_to_group(1), ack_in(&conv, 1, 1), gap, removed, drained(BOB)]);
    let told: Vec<Event> = told.chain(delivered()).collect();

    expect_unknown(told.clone());
    expect(&[Durable, DeliveredOnce], told.into_iter().chain([drained(CAROL)]));
}
