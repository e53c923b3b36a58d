//! What a session confirmed, and when it may come again all the same.

use super::*;

/// One that is replaced as soon as its LOGIN_ACK is read may have begun before the one that confirmed.
#[test]
fn push_in_a_session_that_may_have_begun_earlier_is_no_repeat() {
    let confirmed = Event::Received { user: BOB, session: 1, conv: DIRECT.into(), seq: 1 };
    let told = |why: &str| {
        let replaced = Event::End { user: BOB, session: 2, why: why.into() };
        let late = [login(BOB, 2), push_in(DIRECT, BOB, 2, 1, 1), replaced];
        let all = [send(1), ack(1, 1), push(1, 1), confirmed.clone(), end(BOB, 1)].into_iter().chain(late);
        all.chain([drained(BOB)]).collect::<Vec<_>>()
    };
    expect(&[], told(Errno::Replaced.text()));
    expect(&[DeliveredOnce], told(LEFT));
}

#[test]
fn what_was_confirmed_does_not_come_again() {
    let confirmed = Event::Received { user: BOB, session: 1, conv: DIRECT.into(), seq: 1 };
    let again = push_in(DIRECT, BOB, 2, 1, 1);
    expect(
        &[DeliveredOnce],
        [send(1), ack(1, 1), push(1, 1), confirmed, end(BOB, 1), login(BOB, 2), again, drained(BOB)],
    );
}

#[test]
fn what_was_confirmed_while_the_database_was_broken_may_come_again() {
    let fault = |healed| Event::Fault { what: "database gone".into(), healed };
    let confirmed = Event::Received { user: BOB, session: 1, conv: DIRECT.into(), seq: 1 };
    let again = push_in(DIRECT, BOB, 2, 1, 1);
    let left = [send(1), ack(1, 1), push(1, 1), confirmed, fault(false), end(BOB, 1), fault(true)];
    expect(&[], left.into_iter().chain([login(BOB, 2), again, drained(BOB)]));
}

#[test]
fn what_was_confirmed_in_a_session_that_may_be_replaced_may_come_again() {
    let asked = |user| Event::LoginAsked { user };
    let confirmed = Event::Received { user: BOB, session: 1, conv: DIRECT.into(), seq: 1 };
    let again = push_in(DIRECT, BOB, 2, 1, 1);
    let told = |before: Option<Event>, between: Option<Event>| {
        let all = [send(1), ack(1, 1), push(1, 1)].into_iter().chain(before).chain([confirmed.clone()]);
        all.chain(between).chain([end(BOB, 1), login(BOB, 2), again.clone(), drained(BOB)]).collect::<Vec<_>>()
    };
    expect(&[], told(None, Some(asked(BOB))));
    expect(&[], told(Some(asked(BOB)), None));
    expect(&[DeliveredOnce], told(Some(asked(ALICE)), Some(asked(ALICE))));
    // By the login that this session began with.
    let confirmed = Event::Received { user: BOB, session: 2, conv: DIRECT.into(), seq: 1 };
    let own = [end(BOB, 1), asked(BOB), login(BOB, 2), send(1), ack(1, 1), again, confirmed, end(BOB, 2)];
    let repeated = [login(BOB, 3), push_in(DIRECT, BOB, 3, 1, 1), drained(BOB)];
    expect(&[DeliveredOnce], own.into_iter().chain(repeated));
}
