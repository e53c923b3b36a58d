//! A database that fails over and loses the newest commits: what is owed all the same.

use super::*;

#[test]
fn what_the_database_has_lost_is_owed_to_nobody_and_what_follows_is() {
    const AFTERWARDS: &str = "d1-2.1";
    let lost = || Event::Lost { conv: DIRECT.into(), seq: 2, sender: ALICE, mid: mid(2) };
    let row =
        |conv: &str, number, seq| Event::Row { conv: conv.into(), seq, sender: ALICE, mid: mid(number), body: number };
    let begun = [send(1), ack(1, 1), push(1, 1), send(2), ack(2, 2)];
    let told = |events: Vec<Event>| begun.clone().into_iter().chain(events);
    let (again, rows) =
        (push_in(AFTERWARDS, BOB, 1, 3, 2), vec![row(DIRECT, 1, 1), row(AFTERWARDS, 3, 2), Event::RowsRead]);
    let went_on = |push: Vec<Event>| {
        let all = [lost(), send(3), ack_in(AFTERWARDS, 3, 2)].into_iter().chain(push);
        all.chain([drained(BOB)]).chain(rows.clone()).collect()
    };
    expect(&[], told(went_on(vec![again.clone()])));
    expect(&[], told([push(2, 2)].into_iter().chain(went_on(vec![again])).collect()));
    expect(&[Durable, DeliveredOnce], told(went_on(vec![])));
    // Without a loss.
    expect(&[Durable, DeliveredOnce, Rows], told(vec![drained(BOB), row(DIRECT, 1, 1), Event::RowsRead]));
}

#[test]
fn a_place_that_was_lost_and_given_anew_is_owed_to_those_who_did_not_have_it() {
    let joined = [ALICE, BOB, CAROL].map(|user| Event::Joined { group: GROUP, user });
    let group = |user, number, seq| push_in("g9", user, 1, number, seq);
    let lost = Event::Lost { conv: "g9".into(), seq: 2, sender: ALICE, mid: mid(2) };
    let begun = [send_to_group(1), ack_in("g9", 1, 1), group(BOB, 1, 1), group(CAROL, 1, 1)];
    let to_bob_alone = [send_to_group(2), ack_in("g9", 2, 2), group(BOB, 2, 2), lost];
    let again = [send_to_group(3), ack_in("g9", 3, 2), send_to_group(4), ack_in("g9", 4, 3), group(BOB, 4, 3)];
    let told = |carol: Vec<Event>| {
        let before = joined.clone().into_iter().chain(begun.clone()).chain(to_bob_alone.clone());
        before.chain(again.clone()).chain(carol).chain([drained(BOB), drained(CAROL)]).collect::<Vec<_>>()
    };
    expect(&[], told(vec![group(CAROL, 3, 2), group(CAROL, 4, 3)]));
    expect(&[Durable, DeliveredOnce, InOrder], told(vec![group(CAROL, 4, 3)]));
}

#[test]
fn a_mid_of_a_lost_message_may_have_been_refused_to_another() {
    let lost = Event::Lost { conv: DIRECT.into(), seq: 1, sender: ALICE, mid: mid(1) };
    // A classic client is told of no place.
    let classic = push_in("", BOB, 1, 1, 0);
    let told = |accepted: Option<Event>| {
        let begun = [send(1)].into_iter().chain(accepted).chain([classic.clone(), refused(1, false), lost.clone()]);
        begun.chain(delivered()).collect::<Vec<_>>()
    };
    expect(&[], told(Some(ack(1, 1))));
    expect(&[NoPhantoms], told(None));
}

#[test]
fn what_was_confirmed_in_a_session_that_the_database_has_lost_may_come_again() {
    let received = Event::Received { user: BOB, session: 2, conv: DIRECT.into(), seq: 1 };
    let lost = |user| [Event::CommitsLost, Event::LostLogin { user }];
    let told = |answered_before: bool, user| {
        let mut logs_in = vec![login(BOB, 2)];
        let place = usize::from(answered_before);
        logs_in.splice(place..place, lost(user));
        let confirmed = [push_in(DIRECT, BOB, 2, 1, 1), received.clone(), end(BOB, 2)];
        let again = [login(BOB, 3), push_in(DIRECT, BOB, 3, 1, 1), drained(BOB)];
        let all = [end(BOB, 1), send(1), ack(1, 1)].into_iter().chain(logs_in).chain(confirmed).chain(again);
        all.collect::<Vec<_>>()
    };
    for answered_before in [true, false] {
        expect(&[], told(answered_before, BOB));
        expect(&[DeliveredOnce], told(answered_before, CAROL));
    }
}

/// Of two logins at once the first may be answered last: what comes in the other is no repetition.
#[test]
fn what_came_before_it_was_confirmed_is_no_repetition() {
    let confirmed = Event::Received { user: BOB, session: 1, conv: DIRECT.into(), seq: 1 };
    let other = [login(BOB, 2), push_in(DIRECT, BOB, 2, 1, 1)];
    let told = [send(1), ack(1, 1)].into_iter().chain(other);
    expect(&[], told.chain([push(1, 1), confirmed, end(BOB, 1), drained(BOB)]));
}

#[test]
fn what_was_confirmed_before_commits_were_lost_may_come_again() {
    let received = Event::Received { user: BOB, session: 1, conv: DIRECT.into(), seq: 1 };
    let told = [send(1), ack(1, 1), push(1, 1), received];
    let again = [end(BOB, 1), login(BOB, 2), push_in(DIRECT, BOB, 2, 1, 1), drained(BOB)];
    expect(&[DeliveredOnce], told.clone().into_iter().chain(again.clone()));
    expect(&[], told.into_iter().chain([Event::CommitsLost]).chain(again));
}

#[test]
fn session_whose_login_is_lost_is_served_until_the_lease_of_its_node_is_over() {
    let refused_claim = Event::Claim { user: ALICE, claimed: CAROL, done: false };
    let served_after = |user, seconds| {
        let lost = [Event::CommitsLost, Event::LostLogin { user }, login(BOB, 2)];
        let later = std::iter::repeat_n(refused_claim.clone(), seconds);
        let said = [send(1), ack(1, 1), push(1, 1), push_in(DIRECT, BOB, 2, 1, 1), drained(BOB)];
        lost.into_iter().chain(later).chain(said).collect::<Vec<_>>()
    };
    expect(&[], served_after(BOB, 0));
    expect(&[OneSession], served_after(CAROL, 0));
    expect(&[OneSession], served_after(BOB, 8));
}

#[test]
fn classic_client_that_had_what_is_lost_takes_the_one_at_its_place_for_known() {
    let lost = Event::Lost { conv: DIRECT.into(), seq: 1, sender: ALICE, mid: mid(1) };
    let told = |had: Option<Event>| {
        let before = [send(1), ack(1, 1)].into_iter().chain(had).chain([lost.clone()]);
        let after = [send(2), ack(2, 1), send(3), ack(3, 2), push_in("", BOB, 1, 3, 0), drained(BOB)];
        before.chain(after).collect::<Vec<_>>()
    };
    expect(&[], told(Some(push_in("", BOB, 1, 1, 0))));
    expect(&[Durable, DeliveredOnce], told(None));
}
