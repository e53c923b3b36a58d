//! Everything around a session's cursors: the log, the membership, the life of the session; and what can happen to it.

use crate::storage::Page;
use chat_protocol::conversation::{Conversation, UserId};
use chat_protocol::message::ChatMessage;
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;
use uuid::Uuid;

pub const ME: UserId = 1;
pub const OTHER: UserId = 2;
pub const CONV: Conversation = Conversation::Group(5);
const PAGE: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Join,
    Leave,
}

/// What becomes of a request whose call fails.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Never,
    Done,
    /// Its transaction holds the conversation, and ends later.
    Hangs,
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Say {
        own: bool,
        is_lost: bool,
    },
    /// A copy of one of the messages arrives, at the right time or not.
    Copy {
        of: usize,
    },
    Repair,
    /// Somebody names a message that does not exist.
    FalseAlarm,
    Start,
    Suspend,
    Resume,
    /// The connection writes what waits, if anything does, and then looks whether it was asked to say so.
    Drain,
    /// The next time there is no room, it does so right then.
    DrainWhenFull,
    /// Several reads that nothing comes between.
    ReadOn {
        times: usize,
    },
    /// From a replica that lacks the newest `lag` messages, or shows a later one before an earlier.
    BeginRead {
        lag: usize,
        hides_first: bool,
    },
    EndRead {
        which: usize,
    },
    Begin(Kind),
    Answer,
    Fail(Fate),
    /// The transaction that hangs ends.
    Unhang {
        is_done: bool,
    },
    BeginSettle {
        which: usize,
    },
    EndSettle {
        which: usize,
    },
    Received,
    /// What is in the log, but for the newest so many, is kept no longer, whoever has not received it.
    Shorten {
        to: usize,
    },
}

#[derive(Clone, Debug)]
pub struct Said {
    pub sender: UserId,
    /// Gone from the log, though copies of it were made.
    pub is_lost: bool,
    /// The user was a member then, and has not left since.
    pub is_owed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Joined { last_seq: u64 },
    Stayed,
    NoMember,
}

/// What is true.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub log: Vec<Said>,
    /// So many from its beginning are gone.
    pub removed: usize,
    pub is_member: bool,
    pub joined_at: u64,
    /// Of the latest membership that has ended.
    pub stale_cursor: Option<u64>,
    pub is_started: bool,
    pub is_suspended: bool,
    pub request: Option<Kind>,
    pub hanging: Option<Kind>,
    /// Of the last step, if that was an answer.
    pub answer: Option<Outcome>,
}

impl World {
    fn take_effect(&mut self, kind: Kind) -> Outcome {
        let last_seq = self.log.len() as u64;
        match (kind, std::mem::replace(&mut self.is_member, kind == Kind::Join)) {
            (Kind::Join, true) => Outcome::Stayed,
            (Kind::Join, false) => {
                self.joined_at = last_seq;
                Outcome::Joined { last_seq }
            }
            (Kind::Leave, was_member) => {
                self.stale_cursor = was_member.then_some(self.joined_at).or(self.stale_cursor);
                self.log.iter_mut().for_each(|said| said.is_owed = false);
                Outcome::NoMember
            }
        }
    }

    pub fn message(&self, seq: u64) -> ChatMessage {
        ChatMessage {
            conv: CONV,
            log_epoch: 0,
            seq,
            sender: self.log[seq as usize - 1].sender,
            name: "".into(),
            msg: "".into(),
            time: 0,
            mid: Uuid::nil(),
            sent_as: None,
        }
    }

    /// As a replica has it that lacks the newest `lag` messages and, perhaps, the first.
    pub fn page(&self, after: u64, lag: usize, hides_first: bool) -> Page {
        let end = self.log.len().saturating_sub(lag) as u64;
        let after = after + u64::from(hides_first);
        let is_there = |seq: &u64| *seq > self.removed as u64 && !self.log[*seq as usize - 1].is_lost;
        let mut there = (after + 1..=end).filter(is_there);
        let messages = there.by_ref().take(PAGE).map(|seq| self.message(seq)).collect();
        Page { messages, more: there.next().is_some(), first_seq: self.removed as u64 + 1 }
    }
}

pub struct Model;

impl ReferenceStateMachine for Model {
    type State = World;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<World> {
        let start = |is_member| World { is_member, ..World::default() };
        any::<bool>().prop_map(start).boxed()
    }

    fn transitions(_: &World) -> BoxedStrategy<Step> {
        let kind = prop_oneof![Just(Kind::Join), Just(Kind::Leave)];
        let fate = prop_oneof![Just(Fate::Never), Just(Fate::Done), Just(Fate::Hangs)];
        prop_oneof![
            10 => (prop::bool::weighted(0.2), prop::bool::weighted(0.1))
                .prop_map(|(own, is_lost)| Step::Say { own, is_lost }),
            12 => (0..8_usize).prop_map(|of| Step::Copy { of }),
            2 => Just(Step::Repair),
            1 => Just(Step::FalseAlarm),
            4 => Just(Step::Start),
            1 => Just(Step::Suspend),
            3 => Just(Step::Resume),
            5 => Just(Step::Drain),
            2 => Just(Step::DrainWhenFull),
            2 => (1..8_usize).prop_map(|times| Step::ReadOn { times }),
            12 => (0..3_usize, prop::bool::weighted(0.1))
                .prop_map(|(lag, hides_first)| Step::BeginRead { lag, hides_first }),
            12 => (0..3_usize).prop_map(|which| Step::EndRead { which }),
            9 => kind.prop_map(Step::Begin),
            7 => Just(Step::Answer),
            5 => fate.prop_map(Step::Fail),
            3 => any::<bool>().prop_map(|is_done| Step::Unhang { is_done }),
            3 => (0..3_usize).prop_map(|which| Step::BeginSettle { which }),
            3 => (0..3_usize).prop_map(|which| Step::EndSettle { which }),
            2 => Just(Step::Received),
            2 => (0..6_usize).prop_map(|to| Step::Shorten { to }),
        ]
        .boxed()
    }

    fn preconditions(world: &World, step: &Step) -> bool {
        match step {
            // Whoever holds the conversation lets nobody else write to it.
            Step::Say { own, .. } => world.hanging.is_none() && (!own || world.is_member),
            Step::Shorten { .. } => world.hanging.is_none(),
            Step::Begin(_) => world.is_started && world.request.is_none(),
            Step::Answer => world.request.is_some() && world.hanging.is_none(),
            Step::Fail(fate) => world.request.is_some() && (matches!(fate, Fate::Never) || world.hanging.is_none()),
            Step::Unhang { .. } => world.hanging.is_some(),
            Step::BeginSettle { .. } => world.hanging.is_none(),
            _ => true,
        }
    }

    fn apply(mut world: World, step: &Step) -> World {
        world.answer = None;
        match *step {
            Step::Say { own, is_lost } => {
                let sender = if own { ME } else { OTHER };
                world.log.push(Said { sender, is_lost, is_owed: world.is_member });
            }
            Step::Shorten { to } => world.removed = world.removed.max(world.log.len().saturating_sub(to)),
            Step::Start => world.is_started = true,
            Step::Suspend | Step::Resume => world.is_suspended = matches!(step, Step::Suspend),
            Step::Begin(kind) => world.request = Some(kind),
            Step::Answer => {
                if let Some(kind) = world.request.take() {
                    world.answer = Some(world.take_effect(kind));
                }
            }
            Step::Fail(fate) => match (world.request.take(), fate) {
                (Some(kind), Fate::Done) => drop(world.take_effect(kind)),
                (kind, Fate::Hangs) => world.hanging = kind,
                _ => {}
            },
            Step::Unhang { is_done } => {
                if let Some(kind) = world.hanging.take().filter(|_| is_done) {
                    world.take_effect(kind);
                }
            }
            _ => {}
        }
        world
    }
}
