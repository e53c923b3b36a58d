//! Each way a server can fail a message is counted, exactly, and nothing else is.

use super::*;

const ALICE: u32 = 1;
const BOB: u32 = 2;

struct Case {
    ledger: Ledger,
}

/// The `session`-th session of somebody whose sessions all ended in good order.
fn visit(session: u32) -> Visit {
    Visit { session, settled: session - 1 }
}

/// `count` messages in one stream to `users`, all acknowledged.
fn sent(count: u64, users: &[u32]) -> Case {
    let ledger = Ledger::new([users.to_vec()], true, Copies::Dropped);
    for number in 0..count {
        assert_eq!(ledger.send(0, 10 * number), number);
        assert_eq!(ledger.settle(0, number, Fate::Acknowledged), Some(10 * number));
    }
    Case { ledger }
}

impl Ledger {
    fn receive(&self, stream: u32, number: u64, user: u32, visit: Visit, in_order: Option<bool>) -> Received {
        let mut received = Received::default();
        self.receive_all(stream, [(number, in_order)], user, visit, |one| received = one);
        received
    }
}

impl Case {
    fn receive(&self, user: u32, session: u32, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.ledger.receive(0, number, user, visit(session), None);
        }
    }

    fn expect(&self, change: impl FnOnce(&mut Account)) {
        let account = self.ledger.account();
        let mut expected = Account {
            sent: account.sent,
            acknowledged: account.acknowledged,
            expected: account.expected,
            delivered: account.delivered,
            ..Account::default()
        };
        change(&mut expected);
        assert_eq!(account, expected);
    }
}

#[test]
fn all_received_once_in_order_is_clean_and_kept_nowhere() {
    let case = sent(1_000, &[ALICE, BOB]);
    case.receive(ALICE, 1, 0..1_000);
    assert_eq!(case.ledger.open(), 1_000);
    case.receive(BOB, 1, 0..1_000);
    case.expect(|account| account.delivered = 2_000);
    assert_eq!(case.ledger.open(), 0);
    assert!(case.ledger.account().is_clean());
}

#[test]
fn a_dropped_message_is_lost() {
    let case = sent(10, &[ALICE]);
    case.receive(ALICE, 1, (0..9).filter(|number| *number != 3));
    case.expect(|account| account.lost = 2);
    assert_eq!(case.ledger.streams[0].lock().lost(case.ledger.rules), [3, 9]);
}

#[test]
fn a_message_that_was_not_acknowledged_is_unknown_unless_there_are_no_acknowledgements() {
    for (acknowledged, unknown, lost) in [(true, 1, 0), (false, 0, 1)] {
        let ledger = Ledger::new([vec![ALICE]], acknowledged, Copies::Dropped);
        ledger.send(0, 0);
        let account = ledger.account();
        assert_eq!((account.unknown, account.lost), (unknown, lost));
    }
}

#[test]
fn a_refused_message_is_owed_to_nobody() {
    let ledger = Ledger::new([vec![ALICE]], true, Copies::Dropped);
    for number in 0..3 {
        ledger.send(0, 0);
        ledger.settle(0, number, if number == 1 { Fate::Refused } else { Fate::Acknowledged });
    }
    let case = Case { ledger };
    case.receive(ALICE, 1, [0, 2]);
    case.expect(|account| (account.refused, account.expected) = (1, 2));
    assert_eq!(case.ledger.open(), 0);
}

#[test]
fn a_second_copy_is_duplicated_in_a_session_and_redelivered_in_the_next() {
    let case = sent(4, &[ALICE]);
    case.receive(ALICE, 1, [0, 1, 1, 2]);
    case.receive(ALICE, 2, [1, 2, 3]);
    case.receive(ALICE, 2, [2, 3]);
    case.expect(|account| (account.duplicated, account.redelivered) = (3, 2));
}

/// Three messages in one stream to Alice, whose client cannot tell what it has.
fn sent_to_one_who_cannot_tell() -> Case {
    let ledger = Ledger::new([vec![ALICE]], false, Copies::Shown);
    ledger.send_all(0, 0, 3);
    Case { ledger }
}

#[test]
fn a_copy_in_a_later_session_is_duplicated_where_the_client_cannot_drop_it() {
    let case = sent_to_one_who_cannot_tell();
    case.receive(ALICE, 1, [0, 1]);
    case.receive(ALICE, 2, [1, 2]);
    case.receive(ALICE, 3, [0, 1, 2]);
    case.expect(|account| account.duplicated = 4);
}

#[test]
fn what_came_in_a_session_that_broke_may_come_once_more() {
    let case = sent_to_one_who_cannot_tell();
    let receive = |session, settled, numbers: &[u64]| {
        let visit = Visit { session, settled };
        for number in numbers {
            case.ledger.receive(0, *number, ALICE, visit, None);
        }
    };
    receive(1, 0, &[0]);
    // The first ended in good order, the second and third did not.
    receive(2, 1, &[1]);
    receive(3, 1, &[1, 1]);
    receive(4, 1, &[0, 1, 2]);
    case.expect(|account| (account.redelivered, account.duplicated) = (2, 2));
    receive(5, 2, &[2]);
    case.expect(|account| (account.redelivered, account.duplicated) = (2, 3));
}

#[test]
fn what_is_refused_over_and_over_takes_no_memory() {
    let ledger = Ledger::new([vec![ALICE]], true, Copies::Dropped);
    for number in 0..200_000 {
        ledger.send(0, 0);
        ledger.settle(0, number, Fate::Refused);
    }
    assert_eq!(ledger.streams[0].lock().followed(), 1);
    let account = ledger.account();
    assert_eq!((account.sent, account.refused, account.expected), (200_000, 200_000, 0));
}

#[test]
fn every_second_one_refused_is_followed_up_to_a_limit_and_counted_beyond() {
    let ledger = Ledger::new([vec![ALICE, BOB]], true, Copies::Dropped);
    let max_followed = 1_000;
    let ledger = Ledger { rules: Rules { max_followed, ..ledger.rules }, ..ledger };
    for number in 0..100_000 {
        ledger.send(0, 0);
        let refused = number % 2 == 0;
        ledger.settle(0, number, if refused { Fate::Refused } else { Fate::Acknowledged });
        if !refused {
            ledger.receive(0, number, ALICE, visit(1), None);
            ledger.receive(0, number, BOB, visit(1), None);
        }
        let followed = ledger.streams[0].lock().followed();
        assert!(followed <= 3 * (max_followed + 1_024), "{number}: {followed}");
    }
    let account = ledger.account();
    assert_eq!((account.refused, account.expected, account.delivered), (50_000, 100_000, 100_000));
    assert!(account.is_clean(), "{account:?}");
    // What came although it was refused, and is not followed any more, proves nothing.
    ledger.receive(0, 0, ALICE, visit(1), None);
    assert_eq!((ledger.account().redelivered, ledger.account().duplicated), (1, 0));
}

#[test]
fn what_is_missing_beyond_the_limit_is_unknown() {
    let ledger = Ledger::new([vec![ALICE]], false, Copies::Shown);
    let ledger = Ledger { rules: Rules { max_followed: 100, ..ledger.rules }, ..ledger };
    let count = 300_000;
    for number in 0..count {
        ledger.send(0, 0);
        if number % 2 == 1 {
            ledger.receive(0, number, ALICE, visit(1), None);
        }
    }
    let followed = ledger.streams[0].lock().followed();
    assert!(followed <= 70_000, "{followed}");
    let account = ledger.account();
    assert!(account.unknown > 0 && account.lost > 0, "{account:?}");
    assert_eq!(account.unknown + account.lost, count / 2);
}

#[test]
fn two_that_were_swapped_are_one_reordered() {
    let case = sent(4, &[ALICE]);
    case.receive(ALICE, 1, [0, 2, 1, 3]);
    case.expect(|account| account.reordered = 1);
}

#[test]
fn the_generators_own_resend_is_no_reordering_but_the_servers_word_is() {
    let case = sent(4, &[ALICE]);
    case.ledger.resend(0);
    case.receive(ALICE, 1, [1, 0, 2]);
    case.ledger.receive(0, 3, ALICE, visit(1), Some(false));
    case.expect(|account| (account.resent, account.reordered) = (1, 1));
}

#[test]
fn what_reaches_the_wrong_user_or_was_never_sent_is_counted() {
    let case = sent(1, &[ALICE]);
    case.receive(BOB, 1, [0]);
    case.receive(ALICE, 1, [0, 1]);
    case.ledger.receive(7, 0, ALICE, visit(1), None);
    case.ledger.altered();
    case.ledger.foreign();
    case.expect(|account| {
        (account.misdelivered, account.phantom, account.altered, account.foreign) = (1, 2, 1, 1);
    });
}

#[test]
fn first_and_last_recipient_are_told_once_each() {
    let case = sent(1, &[ALICE, BOB]);
    let first = case.ledger.receive(0, 0, BOB, visit(1), None);
    let last = case.ledger.receive(0, 0, ALICE, visit(1), None);
    assert_eq!((first.first, first.last, last.first, last.last), (true, false, false, true));
    let again = case.ledger.receive(0, 0, ALICE, visit(1), None);
    assert_eq!((again.first, again.last), (false, false));
}

#[test]
fn accounts_add_up() {
    let mut sum = Account { sent: 1, lost: 2, foreign: 3, ..Account::default() };
    sum.add(&Account { sent: 10, lost: 20, altered: 5, ..Account::default() });
    assert_eq!(sum, Account { sent: 11, lost: 22, foreign: 3, altered: 5, ..Account::default() });
}
