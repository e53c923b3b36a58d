//! The cursors of a session against a simple model of everything around them: the log, the membership, the connection's
//! queue, the life of the session, and a database whose answers come late, are out of date, or do not come at all.

mod world;

use super::answers::{Delivered, Doubt, Gap, Next, Queue, Read, Relayed};
use super::cursors::{Cursors, MISSING_READS};
use crate::session::outbound::Push;
use crate::storage::{End, Page, Position};
use chat_protocol::conversation::{Log, UserId};
use chat_protocol::message::ChatMessage;
use proptest::prelude::*;
use proptest_state_machine::{StateMachineTest, prop_state_machine};
use std::cell::RefCell;
use world::{CONV, ME, Model, OTHER, Outcome, Said, Step, World};

/// Messages that fit into the connection's queue.
const ROOM: usize = 3;
/// Reads that a session may need to get through all there is; more would be a spin.
const ENOUGH_READS: usize = 300;

/// Of a log that has lost nothing.
fn end(seq: u64) -> End {
    End { log_epoch: 0, seq }
}

fn at(received_seq: u64) -> Position {
    Position { received_seq, ..Position::default() }
}

#[derive(Default)]
struct Connection {
    waiting: usize,
    drains_when_full: bool,
    is_asked: bool,
    /// Looked, and had been asked.
    owes_resume: bool,
    pushed: Vec<u64>,
    gaps: Vec<Gap>,
}

impl Connection {
    fn drain(&mut self) {
        if std::mem::take(&mut self.waiting) > 0 {
            self.owes_resume |= self.is_asked;
        }
    }
}

#[derive(Default)]
struct FakeQueue(RefCell<Connection>);

impl Queue for FakeQueue {
    fn user(&self) -> UserId {
        ME
    }

    fn push(&self, push: &Push<'_>) -> bool {
        let mut connection = self.0.borrow_mut();
        if connection.waiting == ROOM {
            if std::mem::take(&mut connection.drains_when_full) {
                connection.drain();
            }
            return false;
        }
        connection.waiting += 1;
        connection.pushed.push(push.message.seq);
        true
    }

    fn pass_own(&self, _: &ChatMessage) {}

    fn has_room(&self) -> bool {
        self.0.borrow().waiting < ROOM
    }

    fn tell_when_drained(&self) {
        self.0.borrow_mut().is_asked = true;
    }

    fn gap(&self, gap: Gap) {
        assert_eq!(gap.log.conv, CONV);
        self.0.borrow_mut().gaps.push(gap);
    }

    fn removed(&self, gap: Gap) {
        self.gap(gap);
    }
}

/// What a worker of `catch_up` has been answered.
enum Reading {
    Cursor { ticket: u64, received_seq: Option<u64> },
    Page { ticket: u64, page: Page, last_seq: Option<u64> },
}

#[derive(Default)]
struct Node {
    cursors: Cursors,
    queue: FakeQueue,
    /// How often the conversation stands in `catch_up`'s queue.
    handed: usize,
    reading: Vec<Reading>,
    /// Of the request under way.
    doubt: Option<Doubt>,
    unsettled: Vec<Doubt>,
    settling: Vec<(Doubt, Option<u64>)>,
    /// The client was told that it is no member.
    was_told_no: bool,
    received: u64,
    /// The newest message that the session was told of, one way or another.
    heard: u64,
    /// Pushes and gaps that have been looked at.
    checked: (usize, usize),
}

impl Node {
    fn handle(&mut self, delivery: Delivered) {
        self.handed += usize::from(delivery == Delivered::Behind);
    }

    fn db_cursor(&self, world: &World) -> Option<u64> {
        world.is_member.then_some(world.joined_at.max(self.received))
    }

    fn drain(&mut self) {
        self.queue.0.borrow_mut().drain();
        self.pay();
    }

    fn pay(&mut self) {
        let owes_resume = std::mem::take(&mut self.queue.0.borrow_mut().owes_resume);
        if owes_resume {
            self.resume();
        }
    }

    /// As [`super::Session::resume_stalled`].
    fn resume(&mut self) {
        if self.cursors.is_live() && std::mem::take(&mut self.queue.0.borrow_mut().is_asked) {
            self.handed += self.cursors.resume().len();
        }
    }

    fn begin_read(&mut self, world: &World, lag: usize, hides_first: bool) {
        if self.handed == 0 {
            return;
        }
        self.handed -= 1;
        match self.cursors.next_read(CONV, &self.queue) {
            Next::Nothing => {}
            Next::LoadCursor { ticket, .. } => {
                // Nobody believes a replica that knows of no membership.
                let stale = world.stale_cursor.filter(|_| lag > 0);
                let received_seq = stale.or(self.db_cursor(world));
                self.reading.push(Reading::Cursor { ticket, received_seq });
            }
            Next::ReadAfter { after, ticket, is_last } => {
                let page = if is_last { world.page(after, 0, false) } else { world.page(after, lag, hides_first) };
                let last_seq = is_last.then_some(world.log.len() as u64);
                self.reading.push(Reading::Page { ticket, page, last_seq });
            }
        }
    }

    fn end_read(&mut self, which: usize) {
        if which >= self.reading.len() {
            return;
        }
        match self.reading.remove(which) {
            Reading::Cursor { ticket, received_seq } => {
                self.cursors.cursor_loaded(CONV, ticket, received_seq.map(at));
                self.handed += 1;
            }
            Reading::Page { ticket, page, last_seq } => {
                let read = self.cursors.push_page(CONV, ticket, &page, last_seq, &self.queue);
                self.handed += usize::from(read != Read::Done);
            }
        }
    }

    fn answered(&mut self, outcome: Outcome) {
        let Some(doubt) = self.doubt.take() else { return };
        self.was_told_no = outcome == Outcome::NoMember;
        match outcome {
            Outcome::NoMember => self.cursors.left(&doubt),
            Outcome::Joined { last_seq } => {
                let delivery = self.cursors.joined(&doubt, end(last_seq), &self.queue);
                self.handle(delivery);
            }
            Outcome::Stayed => match self.cursors.stayed(&doubt, &self.queue) {
                Some(delivery) => self.handle(delivery),
                None => self.unsettled.push(doubt),
            },
        }
    }

    fn end_settle(&mut self, which: usize) {
        if which < self.settling.len() {
            let (doubt, received_seq) = self.settling.remove(which);
            let delivery = self.cursors.settled(&doubt, received_seq.map(at), &self.queue);
            self.handle(delivery);
        }
    }

    fn step(&mut self, world: &World, step: Step) {
        let last_seq = world.log.len() as u64;
        match step {
            Step::Copy { of } if of < world.log.len() => {
                // Mostly the newest ones.
                let seq = last_seq - of as u64;
                let message = world.message(seq);
                self.heard = self.heard.max(seq);
                let delivery = self.cursors.deliver(&Push::new(&message, 1), &self.queue);
                self.handle(delivery);
            }
            Step::Repair if last_seq > 0 => {
                self.heard = last_seq;
                let delivery = self.cursors.note(CONV, end(last_seq), &self.queue);
                self.handle(delivery);
            }
            Step::FalseAlarm => {
                let delivery = self.cursors.note(CONV, end(last_seq + 3), &self.queue);
                self.handle(delivery);
            }
            Step::Start => {
                self.cursors.started();
                self.resume();
            }
            Step::Suspend => self.cursors.suspend(true),
            Step::Resume => {
                self.cursors.suspend(false);
                self.resume();
            }
            Step::Drain => self.drain(),
            Step::DrainWhenFull => self.queue.0.borrow_mut().drains_when_full = true,
            Step::ReadOn { times } => (0..times).for_each(|_| {
                self.begin_read(world, 0, false);
                self.end_read(self.reading.len().saturating_sub(1));
            }),
            Step::BeginRead { lag, hides_first } => self.begin_read(world, lag, hides_first),
            Step::EndRead { which } => self.end_read(which),
            Step::Begin(_) => {
                self.doubt = Some(self.cursors.doubt(CONV));
                // The last answer no longer says anything.
                self.was_told_no = false;
            }
            Step::Fail(_) => self.unsettled.extend(self.doubt.take()),
            Step::BeginSettle { which } if which < self.unsettled.len() => {
                let doubt = self.unsettled.remove(which);
                self.settling.push((doubt, self.db_cursor(world)));
            }
            Step::EndSettle { which } => self.end_settle(which),
            Step::Received => {
                let last = self.queue.0.borrow().pushed.last().copied().unwrap_or_default();
                if self.cursors.received(Log { conv: CONV, epoch: 0 }, last) {
                    self.received = last;
                }
            }
            _ => {}
        }
        if let Some(outcome) = world.answer {
            self.answered(outcome);
        }
        self.pay();
    }

    fn check(&mut self, world: &World) {
        let connection = self.queue.0.borrow();
        let is_gone = |seq: u64| connection.gaps.iter().any(|gap| (gap.first..=gap.last).contains(&seq));
        for at in self.checked.0..connection.pushed.len() {
            let seq = connection.pushed[at];
            let before = if at == 0 { 0 } else { connection.pushed[at - 1] };
            assert!(seq > before, "{seq} was pushed after {before}");
            let said = &world.log[seq as usize - 1];
            assert!(said.sender == OTHER && said.is_owed, "{seq} is not for the user: {said:?}");
            assert!(world.is_started && !world.is_suspended, "{seq} was pushed to a session that is not live");
            assert!(self.doubt.is_none() && !self.was_told_no, "{seq} was pushed to who may be no member");
            for left_out in before + 1..seq {
                let said = &world.log[left_out as usize - 1];
                assert!(said.sender == ME || !said.is_owed || is_gone(left_out), "{left_out} was left out");
            }
        }
        for gap in &connection.gaps[self.checked.1..] {
            for seq in gap.first..=gap.last {
                let is_missing = |said: &Said| said.is_lost || seq <= world.removed as u64;
                assert!(world.log.get(seq as usize - 1).is_some_and(is_missing), "{seq} is not missing");
            }
        }
        let may_be_none = self.doubt.is_some() || self.was_told_no;
        if may_be_none || !world.is_started || world.is_suspended {
            assert_ne!(self.cursors.may_relay(CONV, 1), Relayed::Queued);
        }
        let checked = (connection.pushed.len(), connection.gaps.len());
        drop(connection);
        self.checked = checked;
    }

    /// All is well from here on: whatever can go on does, until nothing moves.
    fn calm_down(&mut self, world: &World) {
        if !self.cursors.is_live() {
            self.cursors.started();
            self.cursors.suspend(false);
            self.resume();
        }
        self.unsettled.extend(self.doubt.take());
        for doubt in std::mem::take(&mut self.unsettled) {
            self.settling.push((doubt, self.db_cursor(world)));
        }
        while !self.settling.is_empty() {
            self.end_settle(0);
        }
        self.drain();
        let mut reads = 0;
        while self.handed > 0 || !self.reading.is_empty() {
            self.begin_read(world, 0, false);
            self.end_read(0);
            self.drain();
            reads += 1;
            assert!(reads < ENOUGH_READS, "reads for ever");
        }
    }

    fn check_all_pushed(&self, world: &World, up_to: u64) {
        let connection = self.queue.0.borrow();
        for seq in 1..=up_to {
            let said = &world.log[seq as usize - 1];
            let is_told = connection.pushed.contains(&seq)
                || connection.gaps.iter().any(|gap| (gap.first..=gap.last).contains(&seq));
            let is_due = said.sender == OTHER && said.is_owed && seq > self.received;
            assert!(is_told || !is_due, "{seq} of {up_to} was never pushed; {:?}", connection.pushed);
        }
    }
}

struct CursorsKeepTheRule;

impl StateMachineTest for CursorsKeepTheRule {
    type SystemUnderTest = Node;
    type Reference = Model;

    fn init_test(_: &World) -> Node {
        Node::default()
    }

    fn apply(mut node: Node, world: &World, step: Step) -> Node {
        node.step(world, step);
        node.check(world);
        node
    }

    fn teardown(mut node: Node, mut world: World) {
        (world.hanging, world.is_started, world.is_suspended) = (None, true, false);
        node.calm_down(&world);
        node.check(&world);
        node.check_all_pushed(&world, node.heard);
        assert!(!world.is_member || node.cursors.may_relay(CONV, 1) == Relayed::Queued);
        // What nobody told it of the repair finds.
        if world.is_member && !world.log.is_empty() {
            let delivery = node.cursors.note(CONV, end(world.log.len() as u64), &node.queue);
            node.handle(delivery);
            node.calm_down(&world);
            node.check(&world);
            node.check_all_pushed(&world, world.log.len() as u64);
        }
    }
}

/// The end of the log is looked up, since somebody named a message that is not there; and then it is there.
#[test]
fn message_that_comes_while_the_end_is_looked_up_is_not_forgotten() {
    let said = || Said { sender: OTHER, is_lost: false, is_owed: true };
    let mut world = World { log: vec![said()], is_member: true, is_started: true, ..World::default() };
    let mut node = Node::default();
    for step in [Step::Start, Step::FalseAlarm, Step::ReadOn { times: 2 + usize::from(MISSING_READS) }] {
        node.step(&world, step);
    }
    node.step(&world, Step::BeginRead { lag: 0, hides_first: false });
    assert!(matches!(node.reading[..], [Reading::Page { last_seq: Some(1), .. }]), "the read that decides");

    world.log.push(said());
    node.step(&world, Step::Copy { of: 0 });
    node.step(&world, Step::EndRead { which: 0 });
    node.calm_down(&world);

    assert_eq!(node.queue.0.borrow().pushed, [1, 2]);
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    /// Whatever happens, in whatever order: strictly upwards, nothing twice, nothing left out, nothing to who is no
    /// member, nothing before its time, and in the end all of it.
    #[test]
    fn session_pushes_each_conversation_once_in_order_and_only_to_members(sequential 1..80 => CursorsKeepTheRule);
}
