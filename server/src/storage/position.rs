//! Places in the logs of conversations.
//!
//! A log that has lost its end with the database's commits goes on in another epoch, so a place is an epoch and a seq:
//! the earlier epoch's comes first.

use chat_protocol::conversation::LogEpoch;
use chat_protocol::message::ChatMessage;

/// How far a log has got: in this epoch, up to this seq.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    pub log_epoch: LogEpoch,
    pub seq: u64,
}

/// Where a member's cursor stands, and in what log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub received_seq: u64,
    pub log_epoch: LogEpoch,
    /// The last message from before `log_epoch`.
    pub epoch_after: u64,
}

impl From<End> for Position {
    /// Of somebody for whom nothing before the end is.
    fn from(end: End) -> Self {
        Position { received_seq: end.seq, log_epoch: end.log_epoch, epoch_after: end.seq }
    }
}

impl End {
    /// How far the log had got with this message.
    pub fn of(message: &ChatMessage) -> Self {
        End { log_epoch: message.log_epoch, seq: message.seq }
    }
}
