//! Answers as people read them.

use super::table::{Side, harmless, table};
use chat::admin::conversations::Conversations;
use chat::admin::drain::Draining;
use chat::admin::nodes::Nodes;
use chat::admin::order::{Done, Fate};
use chat::admin::password::Reset;
use chat::admin::prune::Pruned;
use chat::admin::sessions::Page;
use chat::admin::user::User;

const NOWHERE: &str = "-";

/// Whole lines.
pub(super) trait Shown {
    fn shown(&self) -> String;
}

impl Shown for Nodes {
    fn shown(&self) -> String {
        let row = |node: &chat::admin::nodes::Node| {
            let asked = if node.is_asked { "asked" } else { "" };
            [node.id.clone(), node.sessions.to_string(), asked.into()]
        };
        let rows: Vec<_> = self.nodes.iter().map(row).collect();
        table([("NODE", Side::Left), ("SESSIONS", Side::Right), ("", Side::Left)], &rows)
    }
}

impl Shown for Page {
    fn shown(&self) -> String {
        let row = |session: &chat::admin::sessions::Session| {
            [session.id.to_string(), session.name.clone(), session.node.clone()]
        };
        let rows: Vec<_> = self.sessions.iter().map(row).collect();
        let mut text = table([("ID", Side::Right), ("NAME", Side::Left), ("NODE", Side::Left)], &rows);
        if self.next.is_some() {
            text.push_str("… and more: --limit lists them\n");
        }
        text
    }
}

impl Shown for User {
    fn shown(&self) -> String {
        let node = self.node.clone().unwrap_or_else(|| NOWHERE.into());
        let account = if self.is_disabled { "disabled" } else { "enabled" };
        let row = [self.id.to_string(), self.name.clone(), account.into(), node, self.waiting.to_string()];
        let heads = [
            ("ID", Side::Right),
            ("NAME", Side::Left),
            ("ACCOUNT", Side::Left),
            ("NODE", Side::Left),
            ("WAITING", Side::Right),
        ];
        table(heads, &[row])
    }
}

impl Shown for Done {
    fn shown(&self) -> String {
        let node = self.node.as_deref().unwrap_or(NOWHERE);
        let session = match self.session {
            Fate::None => "it had no session".into(),
            Fate::Ended => format!("its session on {node} has ended"),
            Fate::Ending => format!(
                "{node} has not ended its session yet: it does so when it reaches the database, and is called gone \
                 within 8 s if it does not"
            ),
            Fate::Untouched => "sessions are left alone".into(),
        };
        format!("done: {} (id {}); {session}\n", harmless(&self.name), self.id)
    }
}

impl Shown for Reset {
    fn shown(&self) -> String {
        let mut text = self.done.shown();
        if let Some(password) = &self.password {
            text.push_str(&format!("the new password, told this once: {password}\n"));
        }
        text
    }
}

impl Shown for Draining {
    fn shown(&self) -> String {
        let Draining { node, sessions, grace_s } = self;
        format!("{node} drains: {sessions} users are sent elsewhere within {grace_s} s, then it ends\n")
    }
}

impl Shown for Conversations {
    fn shown(&self) -> String {
        let row = |conversation: &chat::admin::conversations::Conversation| {
            [
                conversation.conv.clone(),
                conversation.name.clone().unwrap_or_else(|| NOWHERE.into()),
                conversation.members.to_string(),
                conversation.messages.to_string(),
                conversation.first_seq.to_string(),
                conversation.last_seq.to_string(),
            ]
        };
        let rows: Vec<_> = self.conversations.iter().map(row).collect();
        let heads = [
            ("CONVERSATION", Side::Left),
            ("GROUP", Side::Left),
            ("MEMBERS", Side::Right),
            ("MESSAGES", Side::Right),
            ("FIRST", Side::Right),
            ("LAST", Side::Right),
        ];
        table(heads, &rows)
    }
}

impl Shown for Pruned {
    fn shown(&self) -> String {
        let Pruned { conversations, messages, unreceived, next: _ } = self;
        format!("{messages} messages of {conversations} conversations removed, {unreceived} of them unreceived\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_of_an_order_says_what_became_of_the_session() {
        let done =
            |session, node: Option<&str>| Done { id: 3, name: "ann".into(), session, node: node.map(str::to_owned) };

        assert_eq!(done(Fate::Ended, Some("a")).shown(), "done: ann (id 3); its session on a has ended\n");
        assert_eq!(done(Fate::None, None).shown(), "done: ann (id 3); it had no session\n");
        assert_eq!(done(Fate::Untouched, None).shown(), "done: ann (id 3); sessions are left alone\n");
        assert!(done(Fate::Ending, Some("a")).shown().contains("a has not ended its session yet"));
    }

    #[test]
    fn more_than_was_listed_is_said_to_be_there() {
        let page = |next| Page { sessions: Vec::new(), next };

        assert_eq!(page(None).shown(), "ID  NAME  NODE\n");
        assert_eq!(page(Some(7)).shown(), "ID  NAME  NODE\n… and more: --limit lists them\n");
    }
}
