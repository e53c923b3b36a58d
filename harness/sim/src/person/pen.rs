//! Writes down what a client tells.

use super::Session;
use crate::coverage;
use crate::record::Record;
use chat_client::{Event, Events, Trace, Why};
use chat_protocol::conversation::UserId;
use chat_protocol::message::LoginAck;
use judge::history::{Event as Entry, LEFT, Who};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) struct Pen {
    pub(super) user: UserId,
    pub(super) record: Arc<Record>,
    pub(super) sessions: Arc<AtomicU32>,
    pub(super) session: Arc<Session>,
    pub(super) is_open: bool,
}

impl Pen {
    pub(super) async fn write_all(mut self, mut events: Events) {
        let mut why = Why::Ended;
        while let Some(event) = events.next().await {
            match &event {
                Event::LoggedIn(_) => why = Why::Ended,
                Event::Notice(failure) => {
                    self.record.reach(coverage::name_of_notice(failure.errno));
                    why = Why::Notice(failure.clone());
                }
                Event::Disconnected { why: reason } => {
                    if *reason == Why::Silent {
                        self.record.reach(coverage::SILENT_NODE);
                    }
                    why = reason.clone();
                }
                Event::Reconnected => self.record.reach(coverage::RECONNECTED),
                Event::News(_) => self.record.reach(coverage::EVENT),
                Event::Trace(Trace::Repeated(_)) => self.record.reach(coverage::PUSHED_AGAIN),
                Event::Trace(Trace::Sent { tries: 2.., .. }) => self.record.reach(coverage::SENT_AGAIN),
                _ => {}
            }
            self.write(event);
        }
        let has_left = self.session.has_left.load(Ordering::Relaxed);
        self.end(if has_left { LEFT.into() } else { why.to_string() });
    }

    pub(super) fn write(&mut self, event: Event) {
        let who = Who { user: self.user, session: self.session.number.load(Ordering::Relaxed) };
        match event {
            Event::LoggedIn(ack) => self.begin(&ack),
            Event::Disconnected { why } => self.end(why.to_string()),
            Event::Message(message) | Event::Trace(Trace::Repeated(message)) => self.record.sees(who, &message),
            Event::Acked { mid, result, at, .. } => self.record.outcome(who, mid, at, result),
            Event::Trace(Trace::Sent { mid, tries: 2.. }) => self.record.says_again(who, mid),
            Event::Trace(Trace::Deferred { mid, failure }) => self.record.deferred(who, mid, &failure),
            Event::Trace(Trace::Received { conv, seq }) => {
                let Who { user, session } = who;
                self.record.note(Entry::Received { user, session, conv: conv.to_string(), seq });
            }
            _ => {}
        }
    }

    fn begin(&mut self, ack: &LoginAck) {
        let session = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        self.session.number.store(session, Ordering::Relaxed);
        self.is_open = true;
        let (node, waiting) = (Some(ack.node.clone()), ack.offline);
        self.record.note(Entry::Login { user: self.user, session, node, waiting });
    }

    fn end(&mut self, why: String) {
        if std::mem::take(&mut self.is_open) {
            let (user, session) = (self.user, self.session.number.load(Ordering::Relaxed));
            self.record.note(Entry::End { user, session, why });
        }
    }
}
