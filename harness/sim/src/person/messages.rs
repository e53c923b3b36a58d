//! What a user says.

use super::{Online, Person};
use chat_protocol::conversation::Target;
use judge::history::Who;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A message is said again only while it is certainly still there: retention forgets.
const SAID_AGAIN_WITHIN: Duration = Duration::from_secs(10);

/// The newest message of a user.
pub(super) struct Said {
    mid: Uuid,
    to: Target,
    text: String,
    qos: u8,
    at: Instant,
}

impl Person {
    fn who(&self, online: &Online) -> Who {
        Who { user: self.id, session: online.session.number.load(Ordering::Relaxed) }
    }

    pub(super) fn say(&mut self, to: Target, qos: u8) {
        let Some(online) = self.online.as_ref().filter(|online| !online.client.is_ended()) else { return };
        let (mid, who) = (self.process.environment.uuid(), self.who(online));
        let text = text(&self.name, self.said, mid);
        self.record.says(who, mid, to, &text, qos);
        if let Err(error) = online.client.send_nowait_as(mid, to, &text, qos) {
            self.record.outcome(who, mid, Instant::now(), Err(error));
        }
        self.said += 1;
        self.last = Some(Said { mid, to, text, qos, at: Instant::now() });
    }

    pub(super) fn say_last_again(&self) {
        if let Some((online, Said { mid, to, text, qos, .. })) = self.last_to_repeat() {
            self.record.says_again(self.who(online), *mid);
            // Where it cannot be sent nothing is lost: it is stored already.
            let _ = online.client.send_nowait_as(*mid, *to, text, *qos);
        }
    }

    /// Which is to be refused.
    pub(super) fn say_another_under_the_last_mid(&self) {
        if let Some((online, Said { mid, to, text, qos, .. })) = self.last_to_repeat() {
            let _ = online.client.send_nowait_as(*mid, *to, &format!("{text}, or not"), *qos);
        }
    }

    fn last_to_repeat(&self) -> Option<(&Online, &Said)> {
        let (online, said) = (self.online.as_ref()?, self.last.as_ref()?);
        let is_there = said.qos == 1 && said.at.elapsed() < SAID_AGAIN_WITHIN && self.record.is_acked(said.mid);
        (is_there && !online.client.is_ended()).then_some((online, said))
    }
}

/// What somebody says, with the mid for those whose clients know of none.
pub(super) fn text(name: &str, number: usize, mid: Uuid) -> String {
    format!("{name} says {number} 你好 {mid}")
}
