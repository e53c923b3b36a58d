//! What a session saw, as the history has it.

use crate::dialect::{Push, Refusal};
use judge::history::{Event, Who, body};
use std::borrow::Cow;
use uuid::Uuid;

/// What the server said of a message.
pub fn settled(who: Who, mid: Uuid, place: Option<(Cow<'_, str>, u64)>, refusal: Option<&Refusal>) -> Event {
    let Who { user, session } = who;
    match refusal {
        Some(refusal) => Event::Refused { user, session, mid, code: refusal.code, retryable: refusal.retryable },
        None => {
            let (conv, seq) = place.map(|(conv, seq)| (conv.into_owned(), seq)).unzip();
            Event::Ack { user, session, mid, conv, seq }
        }
    }
}

/// A message that arrived.
pub fn push(who: Who, push: &Push<'_>) -> Event {
    let (Who { user, session }, Push { from, seq, mid, .. }) = (who, push);
    Event::Push {
        user,
        session,
        from: *from,
        conv: push.conv.to_string(),
        seq: *seq,
        mid: mid.as_ref().and_then(|mid| Uuid::try_parse(mid).ok()),
        body: body(&push.text),
    }
}
