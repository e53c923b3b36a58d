//! Who and what is known: friends, groups, the people in them, the current conversation, and what is unread.
//!
//! Names are for typing and reading, ids for the wire; this is where one becomes the other.

use crate::line::Whom;
use chat_client::Message;
use chat_protocol::conversation::{GroupId, Target, UserId};
use chat_protocol::message::{Event, Friend, Group, Roster, State};
use std::collections::{BTreeMap, HashMap};

/// What one user knows.
#[derive(Debug, Default)]
pub struct Book {
    pub friends: BTreeMap<UserId, Friend>,
    pub groups: BTreeMap<GroupId, Group>,
    /// Everybody whose name was ever seen, friends or not.
    people: HashMap<UserId, String>,
    /// Whom plain text goes to.
    pub current: Option<Target>,
    unread: BTreeMap<String, (Target, usize)>,
}

/// Nothing, or more than one thing, goes by the name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    #[error("nobody known is called {name}{}", hint(nearest, "an id works for anybody"))]
    Person { name: String, nearest: Option<String> },
    #[error("you are in no group called {name}{}", hint(nearest, "/groups lists yours"))]
    Group { name: String, nearest: Option<String> },
    #[error("more than one known is called {0}; use the id")]
    Several(String),
}

fn hint(nearest: &Option<String>, otherwise: &str) -> String {
    nearest.as_ref().map_or_else(|| format!("; {otherwise}"), |name| format!("; did you mean {name}?"))
}

/// Of every so many characters one may be wrong, and one at least.
const CHARACTERS_PER_SLIP: usize = 4;

impl Book {
    /// Replaces friends and groups by what the node says.
    pub fn learn(&mut self, roster: Roster) {
        self.friends = roster.friends.into_iter().map(|friend| (friend.id, friend)).collect();
        self.groups = roster.groups.into_iter().map(|group| (group.id, group)).collect();
        let friends = self.friends.values().map(|friend| (friend.id, friend.name.clone()));
        let users = self.groups.values().flat_map(|group| &group.users).map(|user| (user.id, user.name.clone()));
        self.people.extend(friends.chain(users));
    }

    /// Follows what the node tells of friends and groups.
    pub fn follow(&mut self, event: &Event) {
        match event {
            Event::FriendAdded { id, name } => {
                self.people.insert(*id, name.clone());
                let friend = Friend { id: *id, name: name.clone(), state: State::Online };
                self.friends.entry(*id).or_insert(friend);
            }
            Event::FriendRemoved { id, .. } => {
                self.friends.remove(id);
            }
            Event::Presence { id, state, .. } => {
                if let Some(friend) = self.friends.get_mut(id) {
                    friend.state = *state;
                }
            }
            Event::Joined { id, name, .. } | Event::Left { id, name, .. } => {
                self.people.insert(*id, name.clone());
            }
            Event::Gap { .. } => {}
        }
    }

    /// Notes a message; it is unread unless it belongs to the current conversation.
    pub fn note(&mut self, message: &Message) {
        self.people.insert(message.id, message.name.clone());
        let from = conversation_of(message);
        if self.current != Some(from) {
            self.unread.entry(self.label(from)).or_insert((from, 0)).1 += 1;
        }
    }

    /// Makes `target` the current conversation; what is unread in it is now read.
    pub fn enter(&mut self, target: Target) {
        self.current = Some(target);
        self.read(target);
    }

    /// What is unread there is now read.
    pub fn read(&mut self, target: Target) {
        self.unread.retain(|_, (unread, _)| *unread != target);
    }

    /// How many messages are unread, by conversation.
    pub fn unread(&self) -> impl Iterator<Item = (&str, usize)> {
        self.unread.iter().map(|(label, (_, count))| (label.as_str(), *count))
    }

    /// What a conversation is called: `bob`, `#tea`, or by number where no name is known.
    pub fn label(&self, target: Target) -> String {
        match target {
            Target::User(id) => self.person(id),
            Target::Group(id) => match self.groups.get(&id) {
                Some(group) => format!("#{}", group.groupname),
                None => format!("#{id}"),
            },
        }
    }

    /// What a person is called.
    pub fn person(&self, id: UserId) -> String {
        self.people.get(&id).cloned().unwrap_or_else(|| format!("user {id}"))
    }

    /// The target that was meant. A group is also found without its `#`, where nobody is called so.
    pub fn find(&self, whom: &Whom) -> Result<Target, Unknown> {
        match whom {
            Whom::Person(name) => match (self.called(name), self.group_called(name)) {
                (Ok(None), Some(group)) => Ok(Target::Group(group)),
                _ => self.find_person(name).map(Target::User),
            },
            Whom::Group(name) => self.find_group(name).map(Target::Group),
        }
    }

    /// The person of this name, friends first, else of this id.
    pub fn find_person(&self, name: &str) -> Result<UserId, Unknown> {
        match self.called(name)? {
            Some(id) => Ok(id),
            None => {
                let unknown = || Unknown::Person { name: name.to_owned(), nearest: self.nearest(name) };
                name.parse().map_err(|_| unknown())
            }
        }
    }

    fn called(&self, name: &str) -> Result<Option<UserId>, Unknown> {
        if let Some(friend) = self.friends.values().find(|friend| friend.name == name) {
            return Ok(Some(friend.id));
        }
        let mut called = self.people.iter().filter(|(_, known)| *known == name).map(|(id, _)| *id);
        match (called.next(), called.next()) {
            (Some(_), Some(_)) => Err(Unknown::Several(name.to_owned())),
            (called, _) => Ok(called),
        }
    }

    /// The group of this name that one is in, else of this id.
    pub fn find_group(&self, name: &str) -> Result<GroupId, Unknown> {
        let name = name.strip_prefix('#').unwrap_or(name);
        match self.group_called(name) {
            Some(group) => Ok(group),
            None => {
                let unknown = || Unknown::Group { name: name.to_owned(), nearest: self.nearest(&format!("#{name}")) };
                name.parse().map_err(|_| unknown())
            }
        }
    }

    fn group_called(&self, name: &str) -> Option<GroupId> {
        self.groups.values().find(|group| group.groupname == name).map(|group| group.id)
    }

    /// What was probably meant, as it is typed; `None` where nothing is near.
    fn nearest(&self, typed: &str) -> Option<String> {
        let plain = |name: &str| name.trim_start_matches('#').to_lowercase();
        let typed = plain(typed);
        let length = typed.chars().count();
        // Where nothing of it is right, nothing is near.
        let slips = (length / CHARACTERS_PER_SLIP).max(1).min(length.saturating_sub(1));
        let distance = |name: &String| strsim::osa_distance(&plain(name), &typed);
        self.names().into_iter().min_by_key(distance).filter(|name| distance(name) <= slips)
    }

    /// Everything that can be typed as a name, `#` before groups.
    pub fn names(&self) -> Vec<String> {
        let groups = self.groups.values().map(|group| format!("#{}", group.groupname));
        let mut names: Vec<_> = self.people.values().cloned().chain(groups).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// What an answer to this message would be addressed to.
pub fn conversation_of(message: &Message) -> Target {
    match message.target {
        Target::User(_) if !message.own => Target::User(message.id),
        target => target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn roster() -> Roster {
        let friend = |id, name: &str| Friend { id, name: name.into(), state: State::Online };
        let group = Group { id: 5, groupname: "tea".into(), groupdesc: String::new(), users: vec![], more: false };
        Roster { friends: vec![friend(2, "bob"), friend(3, "7")], groups: vec![group], more: false }
    }

    fn from(id: UserId, name: &str, target: Target) -> Message {
        let at = tokio::time::Instant::now();
        let (conv, msg) = ("c".into(), "x".into());
        Message { conv, seq: 1, id, name: name.into(), target, msg, time: 0, mid: None, own: false, at }
    }

    #[test]
    fn names_win_over_numbers() {
        let mut book = Book::default();
        book.learn(roster());
        let person = |name: &str| book.find(&Whom::Person(name.into()));
        assert_eq!(person("bob"), Ok(Target::User(2)));
        assert_eq!(person("7"), Ok(Target::User(3)));
        assert_eq!(person("8"), Ok(Target::User(8)));
        assert_eq!(person("cem"), Err(Unknown::Person { name: "cem".into(), nearest: None }));
        assert_eq!(book.find_group("#tea"), Ok(5));
        assert_eq!(book.find_group("9"), Ok(9));
        assert_eq!(book.find_group("coffee"), Err(Unknown::Group { name: "coffee".into(), nearest: None }));
    }

    #[test]
    fn groups_are_found_without_their_mark_where_nobody_is_called_so() {
        let mut book = Book::default();
        book.learn(roster());
        assert_eq!(book.find(&Whom::Person("tea".into())), Ok(Target::Group(5)));

        book.note(&from(9, "tea", Target::User(1)));
        assert_eq!(book.find(&Whom::Person("tea".into())), Ok(Target::User(9)));
    }

    #[test]
    fn what_is_not_found_names_the_nearest() {
        let mut book = Book::default();
        book.learn(roster());
        book.note(&from(4, "Li Xiaolong", Target::User(1)));
        for (typed, nearest) in [
            ("Bob", Some("bob")),
            ("bbo", Some("bob")),
            ("tae", Some("#tea")),
            ("li xiaolon", Some("Li Xiaolong")),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(book.nearest(typed).as_deref(), nearest, "{typed:?}");
        }
        let said = book.find(&Whom::Group("teas".into())).unwrap_err().to_string();
        assert_eq!(said, "you are in no group called teas; did you mean #tea?");
    }

    #[test]
    fn messages_are_unread_until_their_conversation_is_entered() {
        let mut book = Book::default();
        book.learn(roster());
        book.note(&from(2, "bob", Target::User(1)));
        book.note(&from(2, "bob", Target::User(1)));
        book.note(&from(4, "dan", Target::Group(5)));
        assert_eq!(book.unread().collect::<Vec<_>>(), [("#tea", 1), ("bob", 2)]);
        book.enter(Target::User(2));
        book.note(&from(2, "bob", Target::User(1)));
        assert_eq!(book.unread().collect::<Vec<_>>(), [("#tea", 1)]);
        assert_eq!(book.find_person("dan"), Ok(4));
        assert!(book.names().contains(&"#tea".to_owned()));
    }
}
