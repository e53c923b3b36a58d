//! Commands about friends and groups.

use super::{Chat, Done, words};
use crate::book::Unknown;
use crate::format::{harmless, table};
use chat_client::Client;
use chat_protocol::conversation::Target;
use chat_protocol::message::{Group, State};

impl Chat<'_> {
    pub(super) async fn add(&mut self, who: &str) -> Done {
        let known = match self.book.find_person(who) {
            Ok(id) => Some(id),
            // The node knows more people.
            Err(Unknown::Person { .. }) => None,
            Err(several) => return Err(words(several)),
        };
        let name = who.to_owned();
        let request = |client: Client| async move {
            match known {
                Some(id) => client.add_friend(id).await,
                None => client.add_friend_named(&name).await,
            }
        };
        let friend = self.ask(request).await?;
        self.say(&format!("{} is your friend now", harmless(&friend.name)));
        self.refresh().await
    }

    pub(super) async fn remove(&mut self, who: &str) -> Done {
        let id = self.book.find_person(who).map_err(words)?;
        self.ask(|client| async move { client.remove_friend(id).await }).await?;
        self.say(&format!("{} is not your friend any more", harmless(&self.book.person(id))));
        self.refresh().await
    }

    pub(super) async fn create(&mut self, name: &str, description: &str) -> Done {
        let (owned, description) = (name.to_owned(), description.to_owned());
        let id = self.ask(|client| async move { client.create_group(&owned, &description).await }).await?;
        self.say(&format!("made group #{} with id {id}; others join with /join {id}", harmless(name)));
        self.refresh().await?;
        self.show_entering(Target::Group(id))
    }

    pub(super) async fn join(&mut self, group: &str) -> Done {
        let id = self.book.find_group(group).map_err(|_| format!("groups are joined by their id, {group} is none"))?;
        let group = self.ask(|client| async move { client.join_group(id).await }).await?;
        self.say(&format!("joined #{} {}", harmless(&group.groupname), harmless(&group.groupdesc)));
        self.refresh().await?;
        self.show_entering(Target::Group(id))
    }

    pub(super) async fn leave_group(&mut self, group: Option<String>) -> Done {
        let id = match (group, self.book.current) {
            (Some(group), _) => self.book.find_group(&group).map_err(words)?,
            (None, Some(Target::Group(id))) => id,
            (None, _) => return Err("which group? /leave #GROUP".into()),
        };
        self.ask(|client| async move { client.leave_group(id).await }).await?;
        self.say(&format!("left {}", harmless(&self.book.label(Target::Group(id)))));
        if self.book.current == Some(Target::Group(id)) {
            self.book.current = None;
        }
        self.refresh().await
    }

    pub(super) async fn groups(&mut self) -> Done {
        self.refresh().await?;
        let row = |group: &Group| {
            let users = format!("{}{} users", group.users.len(), if group.more { "+" } else { "" });
            vec![group.id.to_string(), format!("#{}", harmless(&group.groupname)), users, harmless(&group.groupdesc)]
        };
        let rows: Vec<_> = self.book.groups.values().map(row).collect();
        self.show_rows(&rows, "you are in no group; /join ID or /create GROUP")
    }

    pub(super) async fn friends(&mut self) -> Done {
        self.refresh().await?;
        let rows: Vec<_> =
            self.book.friends.values().map(|friend| person(friend.id, &friend.name, friend.state)).collect();
        self.show_rows(&rows, "no friends yet; /add NAME makes one")
    }

    pub(super) async fn who(&mut self) -> Done {
        self.refresh().await?;
        let rows: Vec<_> = match self.book.current {
            Some(Target::Group(id)) => {
                let users = self.book.groups.get(&id).map_or(&[][..], |group| &group.users);
                users.iter().map(|user| person(user.id, &user.name, user.state)).collect()
            }
            _ => {
                let online = self.book.friends.values().filter(|friend| friend.state == State::Online);
                online.map(|friend| person(friend.id, &friend.name, friend.state)).collect()
            }
        };
        self.show_rows(&rows, "nobody is there")
    }

    pub(super) fn show_rows(&mut self, rows: &[Vec<String>], if_none: &str) -> Done {
        if rows.is_empty() {
            self.say(if_none)
        } else {
            self.say(&table(rows))
        }
        Ok(())
    }

    pub(super) async fn refresh(&mut self) -> Done {
        let roster = self.ask(|client| async move { client.roster().await }).await?;
        self.book.learn(*roster);
        self.share_names();
        Ok(())
    }

    pub(super) fn share_names(&self) {
        if let Ok(mut names) = self.names.lock() {
            *names = self.book.names();
        }
    }
}

fn person(id: u64, name: &str, state: State) -> Vec<String> {
    let state = if state == State::Online { "online" } else { "offline" };
    vec![id.to_string(), harmless(name), state.to_owned()]
}
