//! What of a long list fits into one frame.
//!
//! A node's frames are bounded, and pages may stop early at that bound. Sizes are reckoned from above rather than
//! written out, because almost every page fits with room to spare.

use super::message::{ChatMessage, Group, GroupUser, Roster};
use std::borrow::Cow;

/// The longest frame a node sends, in bytes; lists stop early at it and say `more`.
pub const MAX_NODE_FRAME_BYTES: usize = 1024 * 1024;

/// The longest that everything else in a reply gets: numbers, `mid`, token, names of node and server.
const REPLY_BYTES: usize = 8 * 1024;
/// The longest that a push gets without its name and text.
const PUSH_BYTES: usize = 320;
/// The longest that a friend or a group's user gets without the name, and a group without texts and users.
const ENTRY_BYTES: usize = 100;

/// The newest of `messages` that fit into one frame: the end of the slice, and at least one so that paging moves on.
pub fn newest(messages: &[ChatMessage]) -> &[ChatMessage] {
    let mut room = MAX_NODE_FRAME_BYTES - REPLY_BYTES;
    let fitting = messages.iter().rev().take_while(|message| take(&mut room, push_bytes(message))).count();
    &messages[messages.len() - fitting.max(1).min(messages.len())..]
}

/// `roster` as far as it fits into one frame: friends first, then groups, the last of them perhaps with fewer users.
pub fn roster(roster: &Roster) -> Cow<'_, Roster> {
    let mut room = MAX_NODE_FRAME_BYTES - REPLY_BYTES;
    if take(&mut room, roster_bytes(roster)) {
        return Cow::Borrowed(roster);
    }
    let friends = roster.friends.iter().take_while(|friend| take(&mut room, entry_bytes(&friend.name)));
    let mut short = Roster { friends: friends.cloned().collect(), groups: Vec::new(), more: true };
    for group in &roster.groups {
        if !take(&mut room, group_bytes(group)) {
            break;
        }
        let users: Vec<_> = group.users.iter().take_while(|user| take(&mut room, user_bytes(user))).cloned().collect();
        let more = group.more || users.len() < group.users.len();
        let (groupname, groupdesc) = (group.groupname.clone(), group.groupdesc.clone());
        short.groups.push(Group { id: group.id, groupname, groupdesc, users, more });
    }
    Cow::Owned(short)
}

/// Takes `bytes` from the room that is left, if it is that much.
fn take(room: &mut usize, bytes: usize) -> bool {
    match room.checked_sub(bytes) {
        Some(left) => {
            *room = left;
            true
        }
        None => false,
    }
}

fn roster_bytes(roster: &Roster) -> usize {
    let friends: usize = roster.friends.iter().map(|friend| entry_bytes(&friend.name)).sum();
    let groups = roster.groups.iter();
    friends + groups.map(|group| group_bytes(group) + group.users.iter().map(user_bytes).sum::<usize>()).sum::<usize>()
}

fn group_bytes(group: &Group) -> usize {
    entry_bytes(&group.groupname) + text_bytes(&group.groupdesc)
}

fn user_bytes(user: &GroupUser) -> usize {
    entry_bytes(&user.name)
}

fn entry_bytes(name: &str) -> usize {
    ENTRY_BYTES + text_bytes(name)
}

fn push_bytes(message: &ChatMessage) -> usize {
    PUSH_BYTES + text_bytes(&message.name) + text_bytes(&message.msg)
}

/// The length of `text` in JSON, at most.
fn text_bytes(text: &str) -> usize {
    let escapes: usize =
        text.bytes().map(|byte| if byte < 0x20 { 5 } else { usize::from(matches!(byte, b'"' | b'\\')) }).sum();
    text.len() + escapes
}

#[cfg(test)]
mod tests {
    use super::super::message::{Friend, Role, State};
    use super::*;
    use crate::conversation::{Conversation, MAX_ID};

    const ID: u64 = MAX_ID - 1;

    fn message(text: &str) -> ChatMessage {
        ChatMessage {
            log_epoch: 0,
            conv: Conversation::Direct(ID - 1, ID),
            seq: u64::MAX,
            sender: ID,
            name: "\u{1}\"\\".repeat(16).into(),
            msg: text.into(),
            time: i64::MIN,
            mid: uuid::Uuid::nil(),
            sent_as: None,
        }
    }

    fn user(name: &str) -> GroupUser {
        GroupUser { id: ID, name: name.into(), state: State::Offline, role: Role::Creator }
    }

    fn json<T: serde::Serialize>(value: &T) -> usize {
        serde_json::to_vec(value).expect("test values can be written").len()
    }

    #[test]
    fn reckoned_sizes_are_never_too_small() {
        let odd = message("\u{0}\u{1f}\u{8}\n\"\\界");
        assert!(json(&crate::encode::framed::Push::of(&odd)) <= push_bytes(&odd));
        assert!(json(&user("\"x\\")) <= user_bytes(&user("\"x\\")));
        let friend = Friend { id: ID, name: "é\\".into(), state: State::Offline };
        assert!(json(&friend) <= entry_bytes(&friend.name));
        let group = Group { id: ID, groupname: "g".into(), groupdesc: "\t".into(), users: vec![], more: true };
        assert!(json(&group) <= group_bytes(&group));
    }

    #[test]
    fn history_keeps_the_newest() {
        let long = message(&"x".repeat(600_000));
        let short = message("x");
        assert_eq!(newest(&[]).len(), 0);
        assert_eq!(newest(&[short.clone(), short.clone()]).len(), 2);
        assert_eq!(newest(&[long.clone(), short.clone(), long.clone()]).len(), 2);
        assert_eq!(newest(&[short, message(&"x".repeat(2_000_000))]).len(), 1);
    }

    #[test]
    fn roster_is_cut_only_where_it_must_be() {
        let name = "界".repeat(50);
        let group = Group {
            id: ID,
            groupname: name.clone(),
            groupdesc: name.repeat(4),
            users: vec![user(&name); 100],
            more: false,
        };
        let small = Roster { groups: vec![group.clone()], ..Roster::default() };
        assert!(matches!(roster(&small), Cow::Borrowed(_)));

        let friends = vec![Friend { id: ID, name, state: State::Online }; 200];
        let large = Roster { friends, groups: vec![group; 200], more: false };
        let cut = roster(&large);
        assert!(json(&*cut) < MAX_NODE_FRAME_BYTES - REPLY_BYTES);
        assert_eq!((cut.friends.len(), cut.more), (200, true));
        assert!(cut.groups.len() > 20 && cut.groups.last().is_some_and(|last| last.more));
    }
}
