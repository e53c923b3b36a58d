//! What a node counts and says about itself, as far as it shows that a run got somewhere.

use crate::trace::Trace;
use chat::node::Node;
use std::fmt;
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

type Reading = Box<dyn Fn() -> u64 + Send + Sync>;

/// A node's own counters, to be read when it has ended.
pub struct Counters {
    counters: Vec<(&'static str, Reading)>,
    panics: Reading,
}

macro_rules! counters {
    ($($name:literal $field:ident)*) => {
        const COUNTED: &[&str] = &[$($name),*];

        impl Counters {
            pub fn of(node: &Node) -> Counters {
                let metrics = node.metrics();
                let mut counters: Vec<(&'static str, Reading)> = Vec::new();
                $(
                    let counter = metrics.$field.clone();
                    counters.push(($name, Box::new(move || counter.get())));
                )*
                let panics = metrics.task_panics_total.clone();
                Counters { counters, panics: Box::new(move || panics.get()) }
            }
        }
    };
}

counters! {
    "session that fell behind its queue" catch_ups_total
    "session found behind by a look into the log" repairs_total
    "look into the log" sweeps_total
    "event dropped" events_dropped_total
    "session lost while its node was called gone" sessions_lost_total
    "message removed that is kept no longer" messages_removed_total
}

impl Counters {
    pub fn add_to(&self, trace: &Trace) {
        for (name, read) in &self.counters {
            trace.reach_times(name_of_counter(name), read());
        }
    }

    /// Tasks that panicked.
    pub fn panics(&self) -> u64 {
        (self.panics)()
    }
}

fn name_of_counter(name: &str) -> String {
    format!("node: {name}")
}

/// What nodes write to their logs only in rare states.
const SAID: &[&str] = &[
    "the lease is in doubt: sessions are suspended",
    "the lease is good again",
    "node does not renew its lease: its sessions are free",
    "sessions of this node may be gone: comparing them with the database",
    "sessions were taken over",
    "waiting for an earlier run to stop, or to be gone for 7s",
    "tidied up after its earlier runs",
    "something was lost on the bus, looking into the log",
    "messages could not be stored",
    "the outcome of some changes is still unknown",
    "cannot read the log, trying again",
    "cannot save cursors, trying again",
    "cannot look up routes; the repair will deliver",
    "cannot look for lost messages, trying again",
    "cannot tell who is in a conversation, trying on",
    "cannot free sessions, trying on",
];

/// Where some of it is said quietly.
const QUIET: &[&str] = &["chat::delivery::bus_receiver", "chat::membership::tidy"];

fn name_of_saying(text: &str) -> String {
    format!("log: {text}")
}

/// All that nodes count and say here.
pub fn names() -> impl Iterator<Item = String> {
    COUNTED.iter().map(|name| name_of_counter(name)).chain(SAID.iter().map(|text| name_of_saying(text)))
}

/// Listens to the logs of all nodes.
pub struct Listener(pub Arc<Trace>);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let most = if QUIET.contains(&metadata.target()) { Level::DEBUG } else { Level::INFO };
        metadata.is_event() && *metadata.level() <= most && metadata.target().starts_with("chat")
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        if SAID.contains(&message.0.as_str()) {
            self.0.reach(name_of_saying(&message.0));
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The text of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
