//! A lawful history, and for each promise the ways to break it: every one is found by its own checker.

mod confirmed;
mod losses;
mod retention;

use super::*;
use crate::history::{Entry, Event, LEFT, To};
use crate::judgement::{Told, check};
use crate::verdict::Verdict;
use chat_protocol::errno::Errno;
use uuid::Uuid;

const ALICE: u64 = 1;
const BOB: u64 = 2;
const CAROL: u64 = 3;
const GROUP: u64 = 9;
const DIRECT: &str = "d1-2";

fn mid(number: u64) -> Uuid {
    Uuid::from_u128(number.into())
}

fn login(user: u64, session: u32) -> Event {
    Event::Login { user, session, node: None, waiting: 0 }
}

fn end(user: u64, session: u32) -> Event {
    Event::End { user, session, why: LEFT.into() }
}

/// Alice to Bob; the number is the mid and the text.
fn send(number: u64) -> Event {
    Event::Send {
        user: ALICE,
        session: 1,
        to: To::User(BOB),
        mid: mid(number),
        body: number,
        qos: 1,
        due: 0,
        again: false,
    }
}

fn send_to_group(number: u64) -> Event {
    let to = To::Group(GROUP);
    Event::Send { user: ALICE, session: 1, to, mid: mid(number), body: number, qos: 1, due: 0, again: false }
}

fn ack_in(conv: &str, number: u64, seq: u64) -> Event {
    Event::Ack { user: ALICE, session: 1, mid: mid(number), conv: Some(conv.into()), seq: Some(seq) }
}

fn ack(number: u64, seq: u64) -> Event {
    ack_in(DIRECT, number, seq)
}

fn push_in(conv: &str, user: u64, session: u32, number: u64, seq: u64) -> Event {
    Event::Push { user, session, from: ALICE, conv: conv.into(), seq, mid: Some(mid(number)), body: number }
}

fn push(number: u64, seq: u64) -> Event {
    push_in(DIRECT, BOB, 1, number, seq)
}

/// Something that is delivered, without which no history is valid.
fn delivered() -> [Event; 3] {
    [send(8), ack(8, 2), push(8, 2)]
}

fn refused(number: u64, retryable: bool) -> Event {
    Event::Refused { user: ALICE, session: 1, mid: mid(number), code: 7, retryable }
}

fn drained(user: u64) -> Event {
    Event::Drained { user }
}

/// Alice and Bob logged in, then `events`, one a second.
fn history(events: impl IntoIterator<Item = Event>) -> Vec<Entry> {
    let begin = [Event::Begin { format: 1, run: 1 }, login(ALICE, 1), login(BOB, 1)];
    let all = begin.into_iter().chain(events).enumerate();
    all.map(|(second, event)| Entry { t: second as u64 * 1_000_000, event }).collect()
}

/// Exactly the promises in `broken` are violated.
#[track_caller]
fn expect(broken: &[Guarantee], events: impl IntoIterator<Item = Event>) {
    let entries = history(events);
    let judgement = check(&entries);
    let found: Vec<_> = judgement.findings.iter().filter(|finding| finding.violated > 0).map(|f| f.guarantee).collect();
    assert_eq!(found, broken, "{}", Told { judgement: &judgement, entries: &entries });
    let expected = if broken.is_empty() { Verdict::Valid } else { Verdict::Invalid };
    assert_eq!(judgement.verdict(), expected, "{}", Told { judgement: &judgement, entries: &entries });
}

#[track_caller]
fn expect_unknown(events: impl IntoIterator<Item = Event>) {
    let entries = history(events);
    let judgement = check(&entries);
    assert_eq!(judgement.verdict(), Verdict::Unknown, "{}", Told { judgement: &judgement, entries: &entries });
}

use Guarantee::*;

#[test]
fn an_empty_history_is_never_valid() {
    let judgement = check(&[]);
    assert_eq!(judgement.verdict(), Verdict::Unknown);
    assert!(judgement.findings.iter().all(|finding| finding.verdict() == Verdict::Unknown));
    expect_unknown([]);
    expect_unknown([send(1)]);
}

#[test]
fn a_lawful_history_is_valid() {
    expect(&[], [send(1), ack(1, 1), push(1, 1), send(2), push(2, 2), ack(2, 2), drained(BOB)]);
}

#[test]
fn what_is_lawful_is_not_held_against_a_server() {
    // Refused messages are owed to nobody; one's own messages are holes; what waited comes in the next session.
    expect(&[], [send(1), refused(1, false), send(2), ack(2, 1), push(2, 1), drained(BOB)]);
    let own =
        Event::Send { user: BOB, session: 1, to: To::User(ALICE), mid: mid(7), body: 7, qos: 1, due: 0, again: false };
    let own_ack = Event::Ack { user: BOB, session: 1, mid: mid(7), conv: Some(DIRECT.into()), seq: Some(2) };
    let own_push =
        Event::Push { user: ALICE, session: 1, from: BOB, conv: DIRECT.into(), seq: 2, mid: Some(mid(7)), body: 7 };
    expect(&[], [send(1), ack(1, 1), push(1, 1), own, own_ack, own_push, send(3), ack(3, 3), push(3, 3), drained(BOB)]);
    let broken = Event::End { user: BOB, session: 1, why: "connection: reset".into() };
    expect(&[], [send(1), ack(1, 1), push(1, 1), broken, login(BOB, 2), push_in(DIRECT, BOB, 2, 1, 1), drained(BOB)]);
}

#[test]
fn an_undelivered_message_to_one_who_did_not_stay_is_open() {
    expect_unknown([send(1), ack(1, 1)]);
}

#[test]
fn acknowledged_and_gone_breaks_durability_and_delivery() {
    expect(&[Durable, DeliveredOnce], [send(1), ack(1, 1), drained(BOB)]);
}

#[test]
fn one_place_given_to_two_messages_breaks_durability_and_order() {
    expect(
        &[Durable, InOrder],
        [send(1), ack(1, 1), push(1, 1), send(2), ack(2, 1), push_in(DIRECT, BOB, 2, 2, 1), drained(BOB)],
    );
}

#[test]
fn a_member_left_out_breaks_delivery() {
    let joined = [ALICE, BOB, CAROL].map(|user| Event::Joined { group: GROUP, user });
    let told = [send_to_group(1), ack_in("g9", 1, 1), push_in("g9", BOB, 1, 1, 1), drained(BOB), drained(CAROL)];
    expect(&[DeliveredOnce], joined.into_iter().chain(told));
}

#[test]
fn members_count_from_joining_to_leaving() {
    let joined = [ALICE, BOB].map(|user| Event::Joined { group: GROUP, user });
    let left = Event::Left { group: GROUP, user: BOB };
    let told = [send_to_group(1), ack_in("g9", 1, 1), push_in("g9", BOB, 1, 1, 1), left.clone()];
    let after = [send_to_group(2), ack_in("g9", 2, 2), drained(BOB)];
    expect(&[], joined.clone().into_iter().chain(told.clone()).chain(after.clone()).chain(delivered()));
    let pushed = [push_in("g9", BOB, 1, 2, 2)];
    expect(&[NoPhantoms], joined.into_iter().chain(told).chain(after).chain(pushed));
}

#[test]
fn who_may_be_a_member_may_be_told_and_need_not() {
    let asked = |what: fn(u64, u64) -> Event| what(GROUP, BOB);
    let joining = asked(|group, user| Event::Joining { group, user });
    let leaving = asked(|group, user| Event::Leaving { group, user });
    let owner = Event::Joined { group: GROUP, user: ALICE };
    let said = [send_to_group(1), ack_in("g9", 1, 1)];
    let pushed = push_in("g9", BOB, 1, 1, 1);

    let told = [owner.clone(), joining.clone()].into_iter().chain(said.clone());
    expect(&[], told.clone().chain(delivered()).chain([drained(BOB)]));
    expect(&[], told.chain([pushed.clone(), drained(BOB)]).chain(delivered()));
    expect(&[NoPhantoms], [owner.clone()].into_iter().chain(said.clone()).chain([pushed.clone(), drained(BOB)]));
    let member = [owner, Event::Joined { group: GROUP, user: BOB }].into_iter().chain(said);
    expect(&[Durable, DeliveredOnce], member.clone().chain([drained(BOB)]));
    expect(&[], member.chain([leaving, pushed, drained(BOB)]).chain(delivered()));
}

#[test]
fn what_was_said_between_leaving_and_joining_again_is_no_hole() {
    let joined = [ALICE, BOB].map(|user| Event::Joined { group: GROUP, user });
    let all = (1..=3).flat_map(|number| [send_to_group(number), ack_in("g9", number, number)]).collect::<Vec<_>>();
    let [first, last] = [1, 3].map(|number| push_in("g9", BOB, 1, number, number));
    let told = joined.into_iter().chain(all).chain([first]);
    let away = [Event::Leaving { group: GROUP, user: BOB }, Event::Joined { group: GROUP, user: BOB }];

    let stayed = told.clone().chain([last.clone(), push_in("g9", BOB, 2, 2, 2), drained(BOB)]);
    expect(&[InOrder], stayed);
    expect(&[], told.chain(away).chain([last, drained(BOB)]).chain(delivered()));
}

#[test]
fn who_has_left_gets_nothing_more() {
    let joined = [ALICE, BOB].map(|user| Event::Joined { group: GROUP, user });
    let told = [send_to_group(1), ack_in("g9", 1, 1), Event::Left { group: GROUP, user: BOB }];
    let pushed = [push_in("g9", BOB, 1, 1, 1), drained(BOB)];
    expect(&[NoPhantoms], joined.into_iter().chain(told).chain(pushed));
}

#[test]
fn what_was_queued_for_a_session_that_was_replaced_may_come_after_leaving() {
    let joined = [ALICE, BOB].map(|user| Event::Joined { group: GROUP, user });
    let told = [send_to_group(1), ack_in("g9", 1, 1), login(BOB, 2), Event::Left { group: GROUP, user: BOB }];
    let pushed = |session| [push_in("g9", BOB, session, 1, 1), drained(BOB)];
    let told = joined.into_iter().chain(delivered()).chain(told);
    expect(&[], told.clone().chain(pushed(1)));
    expect(&[NoPhantoms], told.chain(pushed(2)));
}

#[test]
fn a_second_push_in_a_session_breaks_delivery() {
    expect(&[DeliveredOnce], [send(1), ack(1, 1), push(1, 1), push(1, 1), drained(BOB)]);
}

#[test]
fn two_that_were_swapped_break_order() {
    let both = [send(1), ack(1, 1), send(2), ack(2, 2)];
    expect(&[InOrder], both.into_iter().chain([push(2, 2), push(1, 1), drained(BOB)]));
}

#[test]
fn a_hole_that_is_anothers_message_breaks_order() {
    let all = (1..=3).flat_map(|number| [send(number), ack(number, number)]);
    expect(&[InOrder], all.chain([push(1, 1), push(3, 3), login(BOB, 2), push_in(DIRECT, BOB, 2, 2, 2), drained(BOB)]));
}

#[test]
fn places_against_the_order_sent_break_order() {
    expect(&[InOrder], [send(1), send(2), ack(2, 1), ack(1, 2), push(2, 1), push(1, 2), drained(BOB)]);
}

#[test]
fn a_resend_with_a_place_of_its_own_is_found() {
    expect(&[], [send(1), ack(1, 1), send(1), ack(1, 1), push(1, 1), drained(BOB)]);
    expect(&[HarmlessResend], [send(1), ack(1, 1), send(1), ack(1, 2), push(1, 1), drained(BOB)]);
    expect(&[HarmlessResend], [send(1), ack(1, 1), send(1), push(1, 1), push(1, 2), drained(BOB)]);
}

#[test]
fn a_resend_of_what_is_kept_no_longer_is_a_new_message() {
    // The resend is acknowledged 4 s after the message was sent, or 3 s where the first was not.
    let again = |kept_s| {
        let removed = Event::Removed { conv: DIRECT.into(), seq: 1, kept_s };
        [send(1), ack(1, 2), push(1, 2), drained(BOB), removed]
    };
    let once = [send(1), ack(1, 1), push(1, 1)];
    expect(&[], once.iter().cloned().chain(again(4)));
    expect(&[], [send(1), push(1, 1)].into_iter().chain(again(3)));
    expect(&[HarmlessResend], once.iter().cloned().chain(again(5)));
    // The place that is gone is heard of once more in between.
    let twice = [ack(1, 1), send(1), ack(1, 3), push(1, 3)];
    expect(&[HarmlessResend], once.iter().cloned().chain(again(4)).chain(twice));
}

#[test]
fn another_message_under_a_used_mid_must_be_refused() {
    let other = || match send(1) {
        Event::Send { user, session, to, mid, qos, due, again, .. } => {
            Event::Send { user, session, to, mid, body: 77, qos, due, again }
        }
        other => other,
    };
    expect(&[], [send(1), ack(1, 1), other(), refused(1, false), push(1, 1), drained(BOB)]);
    expect(&[HarmlessResend], [send(1), ack(1, 1), other(), ack(1, 1), push(1, 1), drained(BOB)]);
}

#[test]
fn what_was_never_sent_or_is_not_as_sent_is_a_phantom() {
    let good = [send(1), ack(1, 1), push(1, 1)];
    let altered =
        Event::Push { user: BOB, session: 1, from: ALICE, conv: DIRECT.into(), seq: 1, mid: Some(mid(1)), body: 5 };
    expect(&[NoPhantoms], good.clone().into_iter().chain([push(2, 2)]));
    expect(&[NoPhantoms], [send(1), ack(1, 1), altered]);
    expect(&[NoPhantoms], good.clone().into_iter().chain([login(CAROL, 1), push_in(DIRECT, CAROL, 1, 1, 1)]));
    expect(&[NoPhantoms], [push(1, 1), send(1), ack(1, 1)]);
    expect(&[NoPhantoms], good.into_iter().chain([send(2), refused(2, false), push(2, 2)]));
}

#[test]
fn not_being_logged_in_says_nothing_of_earlier_tries() {
    let logged_out = Event::Refused { user: ALICE, session: 1, mid: mid(1), code: 3, retryable: false };
    let told = [send(1), refused(1, true), push(1, 1), send(1), logged_out.clone()];
    expect(&[], told.into_iter().chain(delivered()));
    expect(&[NoPhantoms], [send(1), logged_out.clone(), push(1, 1)]);
    expect(&[NoPhantoms], [send(1), logged_out, send(1), push(1, 1)]);
}

#[test]
fn a_replaced_session_that_is_served_breaks_one_session() {
    let good = [send(1), ack(1, 1), push(1, 1)];
    let replaced = [login(ALICE, 2), login(BOB, 2)];
    expect(&[], good.clone().into_iter().chain(replaced.clone()));
    let sent_after = [send(2), ack(2, 2), push_in(DIRECT, BOB, 2, 2, 2)];
    expect(&[OneSession], good.clone().into_iter().chain(replaced.clone()).chain(sent_after));
    // Seconds pass between any two events here.
    let second =
        Event::Send { user: ALICE, session: 2, to: To::User(BOB), mid: mid(2), body: 2, qos: 1, due: 0, again: false };
    let pushed_after = [second, push_in(DIRECT, BOB, 2, 2, 2), push(2, 2)];
    expect(&[OneSession], good.clone().into_iter().chain(replaced).chain(pushed_after));
    // One that is replaced or lost at once was perhaps replaced by the one told of before it.
    let told_late = |end: Event| [login(BOB, 2), end, send(2), ack(2, 2), drained(CAROL), push(2, 2)];
    let replaced = Event::End { user: BOB, session: 2, why: Errno::Replaced.text().into() };
    expect(&[], good.clone().into_iter().chain(told_late(replaced)));
    let lost = Event::End { user: BOB, session: 2, why: "broken pipe".into() };
    expect(&[], good.clone().into_iter().chain(told_late(lost)));
    expect(&[OneSession], good.into_iter().chain(told_late(end(BOB, 2))));
}

#[test]
fn a_message_that_is_sent_again_in_the_next_session_was_not_sent_by_the_replaced_one() {
    let again =
        Event::Send { user: ALICE, session: 2, to: To::User(BOB), mid: mid(1), body: 1, qos: 1, due: 0, again: true };
    expect(&[], [send(1), login(ALICE, 2), again, ack(1, 1), login(ALICE, 3), push(1, 1), drained(BOB)]);
}

#[test]
fn a_message_lost_while_redis_was_gone_breaks_its_promise() {
    let fault = |healed| Event::Fault { what: "redis restarted empty".into(), healed };
    let good = [send(1), ack(1, 1), push(1, 1), fault(false), send(2), ack(2, 2), fault(true)];
    expect(&[Durable, DeliveredOnce, WithoutRedis], good.clone().into_iter().chain([drained(BOB)]));
    expect(&[], good.into_iter().chain([push(2, 2), drained(BOB)]));
}

#[test]
fn another_name_than_the_senders_breaks_identity() {
    let good = [send(1), ack(1, 1), push(1, 1)];
    let claim = |done| Event::Claim { user: ALICE, claimed: BOB, done };
    expect(&[], good.clone().into_iter().chain([claim(false)]));
    expect(&[Identity], good.into_iter().chain([claim(true)]));
    let forged =
        Event::Push { user: BOB, session: 1, from: CAROL, conv: DIRECT.into(), seq: 1, mid: Some(mid(1)), body: 1 };
    let entries = history([login(CAROL, 1), send(1), ack(1, 1), forged, drained(BOB)]);
    assert!(check(&entries).of(Identity).violated > 0);
}

#[test]
fn a_violation_shows_the_lines_that_prove_it() {
    let entries = history([send(1), ack(1, 1), push(1, 1), push(1, 1), drained(BOB)]);
    let judgement = check(&entries);
    let told = Told { judgement: &judgement, entries: &entries }.to_string();
    insta::assert_snapshot!(told);
}

#[test]
fn a_friend_seen_wrongly_at_the_end_breaks_presence() {
    let sees = |online| Event::Sees { user: ALICE, friend: BOB, online };
    let good = [send(1), ack(1, 1), push(1, 1)];
    let told = |looks: Vec<Event>| good.clone().into_iter().chain(looks);
    // Only the last look counts.
    expect(&[], told(vec![sees(false), sees(true)]));
    expect(&[], told(vec![sees(true), end(BOB, 1), sees(false)]));
    expect(&[Presence], told(vec![sees(true), sees(false)]));
    expect(&[Presence], told(vec![end(BOB, 1), sees(true)]));
}

#[test]
fn whoever_is_not_served_after_a_fault_breaks_recovery() {
    let fault = |healed| Event::Fault { what: "kill node-1".into(), healed };
    let good = [send(1), ack(1, 1), push(1, 1), fault(false), send(2), push(2, 2), fault(true), ack(2, 2)];
    let told = |after: Vec<Event>| good.clone().into_iter().chain(after);
    expect(&[], told(vec![send(3), ack(3, 3), push(3, 3), drained(BOB)]));
    expect(&[Recovery], told(vec![send(3)]));
    // One event a second.
    let meanwhile = std::iter::repeat_n(drained(BOB), recovery::BOUND.as_secs() as usize);
    let late = [send(3)].into_iter().chain(meanwhile).chain([ack(3, 3), push(3, 3)]);
    expect(&[Recovery], told(late.collect()));
    let broken = Event::End { user: ALICE, session: 1, why: "connection: reset".into() };
    expect(&[], told(vec![send(3), broken]));
    expect(&[Recovery], told(vec![send(3), end(ALICE, 1)]));
    expect(&[], told(vec![send(3), refused(3, false)]));
    expect(&[Recovery], told(vec![send(3), refused(3, true)]));
    // Behind what its client holds back, it was perhaps never on its way.
    expect(&[], told(vec![send(3), refused(3, true), send(4), end(ALICE, 1)]));
    // What is slow while something else is broken proves nothing.
    let other = |healed| Event::Fault { what: "kill database".into(), healed };
    expect(&[], told(vec![send(3), other(false), other(true)]));
}

#[test]
fn a_database_that_differs_from_what_was_acknowledged_breaks_rows() {
    let row = |number: u64, seq: u64, body: u64| Event::Row {
        conv: DIRECT.into(),
        seq,
        sender: ALICE,
        mid: mid(number),
        body,
    };
    let good = [send(1), ack(1, 1), push(1, 1), send(2), ack(2, 2), push(2, 2), send(3), refused(3, false)];
    let told = |rows: Vec<Event>| good.clone().into_iter().chain(rows).chain([Event::RowsRead]);
    expect(&[], told(vec![row(1, 1, 1), row(2, 2, 2)]));
    expect(&[Rows], told(vec![]));
    expect(&[Rows], told(vec![row(1, 1, 1)]));
    expect(&[Rows], told(vec![row(2, 1, 2), row(1, 2, 1)]));
    expect(&[Rows], told(vec![row(1, 1, 1), row(2, 2, 7)]));
    expect(&[Rows], told(vec![row(1, 1, 1), row(2, 2, 2), row(3, 3, 3)]));
    expect(&[Rows], told(vec![row(1, 1, 1), row(2, 2, 2), row(9, 3, 9)]));
    // Without an ack nobody knows; it may be there.
    let unknown = good.clone().into_iter().chain([send(4), row(1, 1, 1), row(2, 2, 2), row(4, 3, 4), Event::RowsRead]);
    expect(&[], unknown);
    expect(&[Rows], told(vec![row(1, 1, 1), row(2, 2, 2), row(1, 4, 1)]));
}

/// As a classic server answers: no acknowledgement, no place.
fn classic(events: impl IntoIterator<Item = Event>) -> Vec<Event> {
    [Event::Unacknowledged].into_iter().chain(events).collect()
}

fn bare_push(session: u32, number: u64) -> Event {
    push_in("", BOB, session, number, 0)
}

#[test]
fn where_nothing_is_acknowledged_what_was_sent_is_owed_once_and_in_order() {
    let (one, two) = (bare_push(1, 1), bare_push(1, 2));
    expect(&[], classic([send(1), send(2), one.clone(), two.clone(), drained(BOB)]));
    expect(&[DeliveredOnce], classic([send(1), send(2), two.clone(), drained(BOB)]));
    expect(&[DeliveredOnce], classic([send(1), one.clone(), one.clone(), drained(BOB)]));
    expect(&[InOrder], classic([send(1), send(2), two, one, drained(BOB)]));
    expect(&[NoPhantoms], classic([send(1), bare_push(1, 1), bare_push(1, 7), drained(BOB)]));
    expect_unknown(classic([send(1)]));
}

#[test]
fn where_a_client_cannot_tell_a_copy_in_a_later_session_breaks_delivery() {
    let told = |why: &str| {
        let ended = Event::End { user: BOB, session: 1, why: why.into() };
        classic([send(1), bare_push(1, 1), ended, login(BOB, 2), bare_push(2, 1), drained(BOB)])
    };
    for why in [LEFT, "logout unanswered", "broken off"] {
        expect(&[DeliveredOnce], told(why));
    }
    // Nobody knows what still arrived before a connection broke.
    expect(&[], told("connection: reset"));
    expect(&[], told("connection: closed by the server"));
}

#[test]
fn what_a_broken_session_brought_may_come_again_until_one_ended_in_good_order() {
    let ended = |session, why: &str| Event::End { user: BOB, session, why: why.into() };
    let told = |why: &str| {
        let broken = [send(1), bare_push(1, 1), ended(1, "connection: reset"), login(BOB, 2), ended(2, why)];
        classic(broken.into_iter().chain([login(BOB, 3), bare_push(3, 1), drained(BOB)]))
    };
    expect(&[], told("connection: reset"));
    expect(&[DeliveredOnce], told(LEFT));
    let twice =
        [send(1), bare_push(1, 1), ended(1, "connection: reset"), login(BOB, 2), bare_push(2, 1), bare_push(2, 1)];
    expect(&[DeliveredOnce], classic(twice.into_iter().chain([drained(BOB)])));
}

#[test]
fn what_is_relayed_comes_once_and_in_the_order_sent() {
    let relayed = |number: u64| {
        let (to, mid) = (To::User(BOB), mid(number));
        Event::Send { user: ALICE, session: 1, to, mid, body: number, qos: 0, due: 0, again: false }
    };
    let come = |number: u64| push(number, 0);
    let begin = [send(9), ack(9, 1), push(9, 1), drained(BOB), relayed(1), relayed(2)];
    let with = |events: &[Event]| begin.iter().chain(events).cloned().collect::<Vec<_>>();
    expect(&[], with(&[come(1), come(2)]));
    expect(&[], with(&[come(2)]));
    expect(&[DeliveredOnce], with(&[come(1), come(1)]));
    expect(&[InOrder], with(&[come(2), come(1)]));
    // Its sender did not know what had become of it.
    expect(&[], with(&[come(1), relayed(1), come(2), come(1)]));
    // Bob's client is a classic one: perhaps both came through the database.
    expect(&[], with(&[2, 1].map(|number| push_in("", BOB, 1, number, 0))));
}
