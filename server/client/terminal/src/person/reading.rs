//! Commands about messages that are there: what is unread, what was said, and where.

use super::{Chat, Done, words};
use crate::book::conversation_of;
use crate::find::mentions;
use crate::format::harmless;
use crate::line::Whom;
use chat_client::Message;
use chat_protocol::conversation::Target;
use jiff::Timestamp;

/// What makes a terminal ring, or ask for attention in its own way.
const BELL: &str = "\x07";

impl Chat<'_> {
    /// Of the current conversation, or of another without leaving this one.
    pub(super) async fn history(&mut self, of: Option<Whom>, count: u32) -> Done {
        let of = match of {
            Some(whom) => self.book.find(&whom).map_err(words)?,
            None => self.book.current.ok_or("of which conversation? /history NAME, or /to NAME chooses one")?,
        };
        let history = self.ask(|client| async move { client.history(of, None, Some(count)).await }).await?;
        if history.messages.is_empty() {
            self.say("nothing was said here yet");
        }
        for message in &history.messages {
            self.loaded.note(message);
            self.show_message(message);
        }
        self.book.read(of);
        Ok(())
    }

    pub(super) fn search(&mut self, text: &str) -> Done {
        let found = self.loaded.search(text);
        if found.is_empty() {
            self.say("nothing that was received or shown says so; /history NAME COUNT loads more");
        }
        for message in &found {
            self.show_message(message);
        }
        Ok(())
    }

    pub(super) fn unread(&mut self) -> Done {
        let row = |(label, count): (&str, usize)| vec![harmless(label), count.to_string()];
        let rows: Vec<_> = self.book.unread().map(row).collect();
        self.show_rows(&rows, "nothing is unread")
    }

    /// A message that has just come: shown, remembered, and rung for where it is for this person in particular.
    pub(super) fn receive(&mut self, message: &Message) {
        self.book.note(message);
        self.loaded.note(message);
        let session = self.session();
        let me = session.as_ref().map(|session| &*session.name);
        let rings = self.terminal && !self.arguments.no_bell && is_for(message, me);
        let shown = self.shown(message, me);
        self.say(&if rings { shown + BELL } else { shown });
    }

    fn show_message(&mut self, message: &Message) {
        let session = self.session();
        let shown = self.shown(message, session.as_ref().map(|session| &*session.name));
        self.say(&shown);
    }

    fn shown(&self, message: &Message, me: Option<&str>) -> String {
        let label = self.book.label(conversation_of(message));
        self.style.message(message, &label, me, Timestamp::now().as_millisecond())
    }
}

/// Whether the message is for `me` alone, or mentions `me`.
fn is_for(message: &Message, me: Option<&str>) -> bool {
    let mentioned = || me.is_some_and(|me| !mentions(&message.msg, me).is_empty());
    !message.own && (matches!(message.target, Target::User(_)) || mentioned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_to_one_alone_and_mentions_are_rung_for() {
        let at = tokio::time::Instant::now();
        let message = |target, text: &str, own| {
            let (conv, name, msg) = ("c".into(), "bob".into(), text.into());
            Message { conv, seq: 1, id: 2, name, target, msg, time: 0, mid: None, own, at }
        };
        for (target, text, own, rings) in [
            (Target::User(1), "hi", false, true),
            (Target::User(1), "hi", true, false),
            (Target::Group(5), "hi", false, false),
            (Target::Group(5), "hi @Ann", false, true),
            (Target::Group(5), "hi @Ann", true, false),
        ] {
            assert_eq!(is_for(&message(target, text, own), Some("ann")), rings, "{target:?} {text} {own}");
        }
        assert!(!is_for(&message(Target::Group(5), "ann", false), None));
    }
}
