//! Who the users are to one another: friends, groups, and the streams of messages between them.
//!
//! Laid out from the plan alone, before anything is connected, so that the same plan gives the same world. Users are
//! numbers from 0; what the server calls them is learned later.

use crate::plan::Plan;
use crate::scenario::{self, Kind};
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

/// The users of one scenario, and the streams that its share of messages is spread over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    pub kind: Kind,
    pub users: Range<u32>,
    /// Numbers of streams.
    pub streams: Range<u32>,
    /// Users of `users` that leave and return, or read slowly, as the scenario has it.
    pub actors: Vec<u32>,
}

/// Everything that is laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    pub users: u32,
    pub streams: Vec<Stream>,
    pub groups: Vec<Group>,
    pub friends: Vec<(u32, u32)>,
    pub casts: Vec<Cast>,
}

impl World {
    /// Lays out what the plan asks for.
    pub fn new(plan: &Plan) -> World {
        let mut world = World { users: plan.users, ..World::default() };
        let shares = plan.shares();
        let mut begun = 0;
        let mut upto = 0.0;
        for (place, (kind, share)) in shares.iter().enumerate() {
            upto += share;
            let end =
                if place + 1 == shares.len() { plan.users } else { (f64::from(plan.users) * upto).round() as u32 };
            // Two at least: nobody can write to themselves.
            let end = end.max(begun + 2).min(plan.users);
            if end - begun >= 2 {
                let first_stream = world.streams.len() as u32;
                let actors = scenario::lay_out(*kind, begun..end, plan, &mut world);
                let streams = first_stream..world.streams.len() as u32;
                world.casts.push(Cast { kind: *kind, users: begun..end, streams, actors });
            }
            begun = end;
        }
        world
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_part_and_no_stream_leads_to_oneself() {
        for users in [2, 3, 7, 40, 1_001] {
            let plan = Plan { users, ..Plan::default() };
            let world = World::new(&plan);
            assert!(!world.streams.is_empty(), "{users}");
            for stream in &world.streams {
                let recipients = world.recipients(stream);
                assert!(!recipients.is_empty() && !recipients.contains(&stream.sender), "{users}: {stream:?}");
                assert!(recipients.iter().all(|user| *user < users), "{users}: {stream:?}");
            }
        }
    }
}
