//! Tests of a session whose conversation loses the end of its log: what comes then is neither taken for known nor
//! pushed twice.

use super::answers::{Delivered, Gap, Next, Queue, Read};
use super::cursors::Cursors;
use crate::session::outbound::Push;
use crate::storage::{End, Mark, Page, Position, Waiting};
use chat_protocol::conversation::{Conversation, Log, UserId};
use chat_protocol::message::ChatMessage;
use std::cell::RefCell;
use uuid::Uuid;

const CONV: Conversation = Conversation::Group(5);
const ME: UserId = 1;
const OTHER: UserId = 2;

/// What was pushed: epoch and seq.
#[derive(Default)]
struct Pushed(RefCell<Vec<(u32, u64)>>);

impl Queue for Pushed {
    fn user(&self) -> UserId {
        ME
    }

    fn push(&self, push: &Push<'_>) -> bool {
        self.0.borrow_mut().push((push.message.log_epoch, push.message.seq));
        true
    }

    fn pass_own(&self, _: &ChatMessage) {}

    fn has_room(&self) -> bool {
        true
    }

    fn tell_when_drained(&self) {}

    fn gap(&self, gap: Gap) {
        panic!("{gap:?}");
    }

    fn removed(&self, gap: Gap) {
        panic!("{gap:?}");
    }
}

fn message(log_epoch: u32, seq: u64) -> ChatMessage {
    let (name, msg) = ("".into(), "".into());
    ChatMessage { conv: CONV, log_epoch, seq, sender: OTHER, name, msg, time: 0, mid: Uuid::nil(), sent_as: None }
}

/// A session that has been pushed so many messages of the log's first epoch.
fn session(pushed: u64) -> (Cursors, Pushed) {
    let (mut cursors, queue) = (Cursors::default(), Pushed::default());
    let waiting = Waiting { user: ME, conv: CONV, position: Position::default(), last_seq: pushed };
    cursors.waits(&waiting, 0, &queue);
    cursors.started();
    assert_eq!(cursors.resume(), [CONV]);
    read(&mut cursors, &queue, Position::default(), (1..=pushed).map(|seq| message(0, seq)).collect());
    assert_eq!(queue.0.borrow().len() as u64, pushed);
    queue.0.borrow_mut().clear();
    (cursors, queue)
}

/// Reads on as `catch_up` does, in a database that has this.
fn read(cursors: &mut Cursors, queue: &Pushed, position: Position, log: Vec<ChatMessage>) {
    for _ in 0..10 {
        match cursors.next_read(CONV, queue) {
            Next::Nothing => return,
            Next::LoadCursor { ticket, .. } => cursors.cursor_loaded(CONV, ticket, Some(position)),
            Next::ReadAfter { after, ticket, .. } => {
                let messages = log.iter().filter(|message| message.seq > after).cloned().collect();
                if cursors.push_page(CONV, ticket, &Page { messages, ..Page::default() }, None, queue) == Read::Done {
                    return;
                }
            }
        }
    }
    panic!("reads for ever");
}

fn deliver(cursors: &mut Cursors, queue: &Pushed, message: &ChatMessage) -> Delivered {
    cursors.deliver(&Push::new(message, 1), queue)
}

/// Messages 4 and 5 are lost, and their numbers given anew.
fn after_the_loss() -> (Position, Vec<ChatMessage>) {
    let position = Position { received_seq: 0, log_epoch: 1, epoch_after: 3 };
    (position, [(0, 1), (0, 2), (0, 3), (1, 4), (1, 5)].map(|(log_epoch, seq)| message(log_epoch, seq)).into())
}

#[test]
fn message_with_a_number_that_was_pushed_before_is_pushed_in_its_epoch() {
    let (mut cursors, queue) = session(5);
    let (position, log) = after_the_loss();

    assert_eq!(deliver(&mut cursors, &queue, &message(1, 4)), Delivered::Behind);
    read(&mut cursors, &queue, position, log[..4].to_vec());
    assert_eq!(deliver(&mut cursors, &queue, &message(1, 5)), Delivered::Done);

    assert_eq!(*queue.0.borrow(), [(1, 4), (1, 5)]);
}

#[test]
fn session_hears_of_the_loss_from_the_repair_or_a_page_as_well() {
    let (position, log) = after_the_loss();
    let (mut repaired, queue) = session(5);
    assert_eq!(repaired.note(CONV, End { log_epoch: 1, seq: 5 }, &queue), Delivered::Behind);
    read(&mut repaired, &queue, position, log.clone());
    assert_eq!(*queue.0.borrow(), [(1, 4), (1, 5)]);

    let (mut reading, queue) = session(2);
    assert_eq!(reading.note(CONV, End { log_epoch: 0, seq: 4 }, &queue), Delivered::Behind);
    read(&mut reading, &queue, position, log);
    assert_eq!(*queue.0.borrow(), [(0, 3), (1, 4), (1, 5)]);
}

#[test]
fn late_copy_of_a_lost_message_is_not_pushed_any_more() {
    let (mut cursors, queue) = session(4);
    let (position, log) = after_the_loss();
    assert_eq!(deliver(&mut cursors, &queue, &message(1, 4)), Delivered::Behind);
    assert_eq!(deliver(&mut cursors, &queue, &message(0, 5)), Delivered::Done);
    read(&mut cursors, &queue, position, log[..4].to_vec());

    assert_eq!(deliver(&mut cursors, &queue, &message(0, 5)), Delivered::Done);

    assert_eq!(*queue.0.borrow(), [(1, 4)]);
}

#[test]
fn what_was_received_of_the_earlier_epoch_counts_only_as_far_as_it_is_left() {
    let (mut cursors, queue) = session(5);
    let (position, log) = after_the_loss();
    deliver(&mut cursors, &queue, &message(1, 4));
    read(&mut cursors, &queue, position, log);
    let received = |cursors: &Cursors| cursors.unsaved(ME).first().map(|mark| mark.seq);
    let log = |epoch| Log { conv: CONV, epoch };

    assert!(cursors.received(log(0), 5));
    assert_eq!(received(&cursors), Some(3));
    assert!(!cursors.received(log(2), 5), "nobody has told it of that one");
    assert!(cursors.received(log(1), 4));
    assert_eq!(received(&cursors), Some(4));
}

#[test]
fn what_two_losses_left_that_are_heard_of_as_one_is_not_taken_for_known() {
    let (mut cursors, queue) = session(5);
    // The first lost all from 3 on, the second what had come from 5 on.
    let position = Position { received_seq: 0, log_epoch: 2, epoch_after: 4 };
    let log: Vec<_> = [(0, 1), (0, 2), (1, 3), (1, 4), (2, 5)].map(|(log_epoch, seq)| message(log_epoch, seq)).into();

    assert_eq!(deliver(&mut cursors, &queue, &log[4]), Delivered::Behind);
    read(&mut cursors, &queue, position, log);

    assert_eq!(*queue.0.borrow(), [(1, 3), (1, 4), (2, 5)]);
    let received = |cursors: &Cursors| cursors.unsaved(ME).first().map(|mark| mark.seq);
    let log = |epoch| Log { conv: CONV, epoch };
    assert!(cursors.received(log(0), 5));
    assert_eq!(received(&cursors), Some(2));
    assert!(cursors.received(log(1), 5));
    assert_eq!(received(&cursors), Some(4));
}

#[test]
fn loss_of_the_epoch_itself_repeats_nothing() {
    let (mut cursors, queue) = session(5);
    let (position, log) = after_the_loss();
    deliver(&mut cursors, &queue, &message(1, 4));
    read(&mut cursors, &queue, position, log.clone());
    queue.0.borrow_mut().clear();

    // A copy from before the log went on; and while that is read, it begins another epoch.
    assert_eq!(cursors.note(CONV, End { log_epoch: 2, seq: 3 }, &queue), Delivered::Behind);
    read(&mut cursors, &queue, Position::default(), log[..3].to_vec());
    assert_eq!(*queue.0.borrow(), []);
    assert_eq!(cursors.note(CONV, End { log_epoch: 2, seq: 4 }, &queue), Delivered::Behind);
    let position = Position { received_seq: 0, log_epoch: 2, epoch_after: 3 };
    read(&mut cursors, &queue, position, [&log[..3], &[message(2, 4)]].concat());

    assert_eq!(*queue.0.borrow(), [(2, 4)]);
}

#[test]
fn page_from_before_a_loss_is_read_again() {
    let (mut cursors, queue) = session(5);
    let (position, log) = after_the_loss();
    assert_eq!(deliver(&mut cursors, &queue, &message(1, 4)), Delivered::Behind);
    let Next::LoadCursor { ticket, .. } = cursors.next_read(CONV, &queue) else { panic!("it is not known") };
    cursors.cursor_loaded(CONV, ticket, Some(position));
    let old = Page { messages: (1..=6).map(|seq| message(0, seq)).collect(), ..Page::default() };

    assert_ne!(cursors.push_page(CONV, ticket, &old, None, &queue), Read::Done);
    assert_eq!(*queue.0.borrow(), []);

    read(&mut cursors, &queue, position, log[..4].to_vec());
    assert_eq!(*queue.0.borrow(), [(1, 4)]);
}

#[test]
fn what_was_received_before_a_loss_is_saved_while_it_is_read_again() {
    let (mut cursors, queue) = session(5);
    let log = Log { conv: CONV, epoch: 0 };
    assert!(cursors.received(log, 2));
    deliver(&mut cursors, &queue, &message(1, 4));
    assert!(cursors.received(log, 3));

    assert_eq!(cursors.end(ME), [Mark { conv: CONV, user: ME, seq: 3, log_epoch: 0 }]);
}

#[test]
fn member_again_whose_leaving_is_lost_gets_nothing_twice() {
    let (mut cursors, queue) = session(4);
    let doubt = cursors.doubt(CONV);
    cursors.left(&doubt);
    let mark = Mark { conv: CONV, user: ME, seq: 3, log_epoch: 0 };
    assert!(cursors.received(Log { conv: CONV, epoch: 0 }, 3));
    assert_eq!(cursors.unsaved(ME), [mark], "the database alone knows whether it still counts");
    cursors.saved(&mark);
    assert_eq!(cursors.unsaved(ME), []);

    // The request to join is answered that the user has been a member all the time.
    let doubt = cursors.doubt(CONV);
    assert_eq!(cursors.stayed(&doubt, &queue), Some(Delivered::Behind));
    read(&mut cursors, &queue, Position::default(), (1..=5).map(|seq| message(0, seq)).collect());

    assert_eq!(*queue.0.borrow(), [(0, 5)]);
    assert_eq!(cursors.unsaved(ME), [mark]);
}

#[test]
fn join_of_unknown_outcome_while_the_log_is_read_again_repeats_nothing() {
    let (mut cursors, queue) = session(5);
    assert_eq!(deliver(&mut cursors, &queue, &message(1, 6)), Delivered::Behind);
    let Next::LoadCursor { ticket, .. } = cursors.next_read(CONV, &queue) else { panic!("it is not known") };
    cursors.cursor_loaded(CONV, ticket, Some(Position { received_seq: 0, log_epoch: 1, epoch_after: 5 }));
    let doubt = cursors.doubt(CONV);
    let position = Position { received_seq: 3, log_epoch: 1, epoch_after: 5 };
    assert_eq!(cursors.settled(&doubt, Some(position), &queue), Delivered::Done);

    let log = [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 6)].map(|(log_epoch, seq)| message(log_epoch, seq));
    read(&mut cursors, &queue, position, log.into());

    assert_eq!(*queue.0.borrow(), [(1, 6)]);
}

#[test]
fn who_left_and_joined_again_while_the_log_is_read_again_gets_nothing_from_between() {
    let (mut cursors, queue) = session(5);
    assert_eq!(deliver(&mut cursors, &queue, &message(1, 3)), Delivered::Behind);
    let Next::LoadCursor { ticket, .. } = cursors.next_read(CONV, &queue) else { panic!("it is not known") };
    cursors.cursor_loaded(CONV, ticket, Some(Position { received_seq: 0, log_epoch: 1, epoch_after: 2 }));
    let doubt = cursors.doubt(CONV);
    let joined = Position { received_seq: 4, log_epoch: 1, epoch_after: 2 };
    cursors.settled(&doubt, Some(joined), &queue);

    assert_eq!(deliver(&mut cursors, &queue, &message(1, 5)), Delivered::Done);

    assert_eq!(*queue.0.borrow(), [(1, 5)]);
}

#[test]
fn what_was_received_is_saved_though_the_user_leaves_while_the_log_is_read_again() {
    let (mut cursors, queue) = session(5);
    assert!(cursors.received(Log { conv: CONV, epoch: 0 }, 2));
    deliver(&mut cursors, &queue, &message(1, 4));
    let doubt = cursors.doubt(CONV);
    cursors.left(&doubt);

    assert_eq!(cursors.end(ME), [Mark { conv: CONV, user: ME, seq: 2, log_epoch: 0 }]);
}

#[test]
fn what_was_received_after_leaving_is_saved_though_a_join_comes_to_nothing() {
    let (mut cursors, queue) = session(4);
    let doubt = cursors.doubt(CONV);
    cursors.left(&doubt);
    assert!(cursors.received(Log { conv: CONV, epoch: 0 }, 3));
    let doubt = cursors.doubt(CONV);
    assert_eq!(cursors.settled(&doubt, None, &queue), Delivered::Done);

    assert_eq!(cursors.end(ME), [Mark { conv: CONV, user: ME, seq: 3, log_epoch: 0 }]);
}

#[test]
fn what_was_received_just_before_leaving_is_saved_all_the_same() {
    let (mut cursors, queue) = session(4);
    assert!(cursors.received(Log { conv: CONV, epoch: 0 }, 2));
    let doubt = cursors.doubt(CONV);
    cursors.left(&doubt);

    assert_eq!(cursors.end(ME), [Mark { conv: CONV, user: ME, seq: 2, log_epoch: 0 }]);
    assert!(queue.0.borrow().is_empty());
}
