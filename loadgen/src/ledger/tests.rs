//! Each way a server can fail a message is counted, exactly, and nothing else is.

use super::*;

const ALICE: u32 = 1;
const BOB: u32 = 2;

struct Case {
    ledger: Ledger,
}

/// `count` messages in one stream to `users`, all acknowledged.
fn sent(count: u64, users: &[u32]) -> Case {
    let ledger = Ledger::new([users.to_vec()], true);
    for number in 0..count {
        assert_eq!(ledger.send(0, 10 * number), number);
        assert_eq!(ledger.settle(0, number, Fate::Acknowledged), Some(10 * number));
    }
    Case { ledger }
}

impl Case {
    fn receive(&self, user: u32, session: u32, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.ledger.receive(0, number, user, session, None);
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
    assert!(case.ledger.offences(9).is_empty());
}

#[test]
fn a_dropped_message_is_lost() {
    let case = sent(10, &[ALICE]);
    case.receive(ALICE, 1, (0..9).filter(|number| *number != 3));
    case.expect(|account| account.lost = 2);
    assert_eq!(case.ledger.offences(9)[0].lost, [3, 9]);
}

#[test]
fn a_message_that_was_not_acknowledged_is_unknown_unless_there_are_no_acknowledgements() {
    for (acknowledged, unknown, lost) in [(true, 1, 0), (false, 0, 1)] {
        let ledger = Ledger::new([vec![ALICE]], acknowledged);
        ledger.send(0, 0);
        let account = ledger.account();
        assert_eq!((account.unknown, account.lost), (unknown, lost));
    }
}

#[test]
fn a_refused_message_is_owed_to_nobody() {
    let ledger = Ledger::new([vec![ALICE]], true);
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
    case.ledger.receive(0, 3, ALICE, 1, Some(false));
    case.expect(|account| (account.resent, account.reordered) = (1, 1));
}

#[test]
fn what_reaches_the_wrong_user_or_was_never_sent_is_counted() {
    let case = sent(1, &[ALICE]);
    case.receive(BOB, 1, [0]);
    case.receive(ALICE, 1, [0, 1]);
    case.ledger.receive(7, 0, ALICE, 1, None);
    case.ledger.altered();
    case.ledger.foreign();
    case.expect(|account| {
        (account.misdelivered, account.phantom, account.altered, account.foreign) = (1, 2, 1, 1);
    });
}

#[test]
fn first_and_last_recipient_are_told_once_each() {
    let case = sent(1, &[ALICE, BOB]);
    let first = case.ledger.receive(0, 0, BOB, 1, None);
    let last = case.ledger.receive(0, 0, ALICE, 1, None);
    assert_eq!((first.first, first.last, last.first, last.last), (true, false, false, true));
    let again = case.ledger.receive(0, 0, ALICE, 1, None);
    assert_eq!((again.first, again.last), (false, false));
}

#[test]
fn accounts_add_up() {
    let mut sum = Account { sent: 1, lost: 2, foreign: 3, ..Account::default() };
    sum.add(&Account { sent: 10, lost: 20, altered: 5, ..Account::default() });
    assert_eq!(sum, Account { sent: 11, lost: 22, foreign: 3, altered: 5, ..Account::default() });
}
