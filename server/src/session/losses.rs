//! Tests of a session whose conversation loses the end of its log: what comes then is neither taken for known nor
//! pushed twice.

use super::answers::{Delivered, Gap, Next, Queue, Read};
use super::cursors::Cursors;
use crate::session::outbound::Push;
use crate::storage::{End, Page, Position, Waiting};
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
