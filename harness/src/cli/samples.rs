//! Stories that are over, for tests of how they are shown.

use harness::users::{Conclusion, Record};
use judge::history::{Event, To};
use uuid::Uuid;

pub fn valid() -> Conclusion {
    story(true)
}

/// The message is lost.
pub fn invalid() -> Conclusion {
    story(false)
}

fn story(arrives: bool) -> Conclusion {
    let record = Record::default();
    for user in [1, 2] {
        record.note(Event::Login { user, session: 1, node: None, waiting: 0 });
    }
    let (mid, conv, body) = (Uuid::from_u128(1), "d1-2".to_owned(), 1);
    record.note(Event::Send { user: 1, session: 1, to: To::User(2), mid, body, qos: 1, due: 0, again: false });
    record.note(Event::Ack { user: 1, session: 1, mid, conv: Some(conv.clone()), seq: Some(1) });
    if arrives {
        record.note(Event::Push { user: 2, session: 1, from: 1, conv, seq: 1, mid: Some(mid), body });
    }
    record.note(Event::Drained { user: 2 });
    record.conclude()
}
