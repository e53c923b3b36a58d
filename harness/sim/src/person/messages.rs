//! What a user says.

use super::{Online, Person};
use chat_protocol::conversation::Target;
use judge::history::Who;
use std::sync::atomic::Ordering;
use tokio::time::Instant;
use uuid::Uuid;

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
        self.last = Some((mid, to, text, qos));
    }

    pub(super) fn say_last_again(&mut self) {
        let (Some(online), Some((mid, to, text, qos))) = (&self.online, &self.last) else { return };
        if *qos == 1 && !online.client.is_ended() && self.record.is_acked(*mid) {
            self.record.says_again(self.who(online), *mid);
            // Where it cannot be sent nothing is lost: it is stored already.
            let _ = online.client.send_nowait_as(*mid, *to, text, *qos);
        }
    }

    /// Which is to be refused.
    pub(super) fn say_another_under_the_last_mid(&self) {
        let (Some(online), Some((mid, to, text, qos))) = (&self.online, &self.last) else { return };
        if *qos == 1 && !online.client.is_ended() && self.record.is_acked(*mid) {
            let _ = online.client.send_nowait_as(*mid, *to, &format!("{text}, or not"), *qos);
        }
    }
}

/// What somebody says, with the mid for those whose clients know of none.
pub(super) fn text(name: &str, number: usize, mid: Uuid) -> String {
    format!("{name} says {number} 你好 {mid}")
}
