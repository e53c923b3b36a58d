//! What has arrived at a client that cannot say so.
//!
//! Each message is noted with the place in the connection's byte stream where it ends. Once the client's kernel has
//! acknowledged the stream up to there, the message has arrived: not before, and not because of what follows it.

use super::{Outbound, State};
use chat_protocol::conversation::Log;
use std::collections::VecDeque;
use std::task::Poll;

/// Messages noted and not yet arrived. Beyond it a message is refused as if the queue were full, and comes from the log
/// once others have arrived.
pub const MAX_UNARRIVED: usize = 8_192;

/// The messages on their way, in the order of the stream.
#[derive(Default)]
pub struct Arrivals {
    expected: VecDeque<Expected>,
}

struct Expected {
    /// Bytes of the stream up to the end of the message.
    end: u64,
    message: Message,
}

/// A message by its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub log: Log,
    pub seq: u64,
}

impl Arrivals {
    pub fn is_full(&self) -> bool {
        self.expected.len() >= MAX_UNARRIVED
    }

    pub fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    /// `message` ends where the stream does now, which is not before the end of those noted earlier.
    pub fn note(&mut self, end: u64, message: Message) {
        self.expected.push_back(Expected { end, message });
    }

    /// Takes out what ends within the first `acknowledged` bytes of the stream.
    pub fn take(&mut self, acknowledged: u64) -> Vec<Message> {
        let arrived = self.expected.partition_point(|expected| expected.end <= acknowledged);
        self.expected.drain(..arrived).map(|expected| expected.message).collect()
    }
}

/// For the task of a client that cannot acknowledge.
impl Outbound {
    /// The client's kernel has acknowledged all that was written but the last `unacknowledged` bytes. Returns what has
    /// arrived since the last time.
    pub fn arrived(&self, unacknowledged: u64) -> Vec<Message> {
        let mut state = self.state.lock();
        let acknowledged = state.written.saturating_sub(unacknowledged);
        let Some(arrivals) = &mut state.arrivals else { return Vec::new() };
        let arrived = arrivals.take(acknowledged);
        if arrivals.is_empty() {
            state.arrivals = None;
        }
        arrived
    }

    /// Whether anything noted has not arrived yet.
    pub fn awaits_arrivals(&self) -> bool {
        self.state.lock().arrivals.is_some()
    }

    /// Completes when all that was noted has arrived, or can no longer. Wakes nobody: the connection's task looks at
    /// the kernel from time to time, and polls this then.
    pub async fn all_arrived(&self) {
        std::future::poll_fn(|_| if self.awaits_arrivals() { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// The session that it was noted for has ended.
    pub fn forget_arrivals(&self) {
        self.state.lock().arrivals = None;
    }
}

impl State {
    /// Where the stream ends, once all that is queued is written.
    fn end(&self) -> u64 {
        self.written + (self.writing_bytes + self.buffer.len()) as u64
    }

    pub(super) fn note(&mut self, log: Log, seq: u64) {
        let end = self.end();
        self.arrivals.get_or_insert_default().note(end, Message { log, seq });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_protocol::conversation::Conversation;

    fn message(seq: u64) -> Message {
        Message { log: Log { conv: Conversation::Group(1), epoch: 0 }, seq }
    }

    #[test]
    fn message_arrives_with_its_last_byte() {
        let mut arrivals = Arrivals::default();
        arrivals.note(10, message(1));
        // Takes no bytes: one's own, which is not pushed.
        arrivals.note(10, message(2));
        arrivals.note(20, message(3));

        assert_eq!(arrivals.take(9), []);
        assert_eq!(arrivals.take(19), [message(1), message(2)]);
        assert_eq!(arrivals.take(19), []);
        assert_eq!(arrivals.take(u64::MAX), [message(3)]);
        assert!(arrivals.is_empty());
    }
}
