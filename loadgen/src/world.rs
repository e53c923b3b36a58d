//! Who the users are to one another: friends, groups, and the streams of messages between them.
//!
//! Scenarios fill it before anything is connected. Users are numbers from 0; what the server calls them is learned
//! later.

use std::ops::Range;

/// Whom a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// One friend.
    Friend(u32),
    /// All members of the group but the sender.
    Group(u32),
}

/// What one user sends to one friend or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    pub sender: u32,
    pub to: Audience,
}

/// A group: the first member makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub members: Vec<u32>,
}

/// Everything that is laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    pub users: u32,
    pub streams: Vec<Stream>,
    pub groups: Vec<Group>,
    pub friends: Vec<(u32, u32)>,
}

impl World {
    /// Makes two users friends, and each one's messages to the other a stream if `both`, else only the first one's.
    pub fn befriend(&mut self, one: u32, other: u32, both: bool) {
        self.friends.push((one, other));
        self.streams.push(Stream { sender: one, to: Audience::Friend(other) });
        if both {
            self.streams.push(Stream { sender: other, to: Audience::Friend(one) });
        }
    }

    /// Makes a group of `members`, of whom the first `senders` write to it.
    pub fn group(&mut self, members: Range<u32>, senders: u32) {
        let number = self.groups.len() as u32;
        for sender in members.clone().take(senders as usize) {
            self.streams.push(Stream { sender, to: Audience::Group(number) });
        }
        self.groups.push(Group { members: members.collect() });
    }

    /// Who must receive what is sent in `stream`, ascending.
    pub fn recipients(&self, stream: &Stream) -> Vec<u32> {
        match stream.to {
            Audience::Friend(friend) => vec![friend],
            Audience::Group(group) => {
                let members = &self.groups[group as usize].members;
                let mut others: Vec<u32> = members.iter().copied().filter(|member| *member != stream.sender).collect();
                others.sort_unstable();
                others
            }
        }
    }
}
