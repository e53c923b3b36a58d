//! What a plan makes of its mix: which users have a part in which scenario, and the world that these lay out.
//!
//! It follows from the plan alone, so that the same plan gives the same world.

use super::Plan;
use crate::scenario::{Kind, Sizes};
use crate::world::World;
use std::ops::Range;

/// The users of one scenario, and the streams that its share of messages is spread over.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast {
    pub kind: Kind,
    /// Of all messages, as a fraction.
    pub share: f64,
    pub users: Range<u32>,
    /// Numbers of streams.
    pub streams: Range<u32>,
    /// Users of `users` that leave and return, or read slowly, as the scenario has it.
    pub actors: Vec<u32>,
}

/// All casts, and their world.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    pub world: World,
    pub casts: Vec<Cast>,
}

impl Plan {
    /// Lays out what the plan asks for.
    pub fn lay_out(&self) -> Layout {
        let sizes = Sizes { friends: self.friends, group: self.group_size, group_senders: self.group_senders };
        let mut world = World { users: self.users, ..World::default() };
        let mut casts = Vec::new();
        let shares = self.shares();
        let mut begun = 0;
        let mut upto = 0.0;
        for (place, (kind, share)) in shares.iter().enumerate() {
            upto += share;
            let end =
                if place + 1 == shares.len() { self.users } else { (f64::from(self.users) * upto).round() as u32 };
            // Two at least: nobody can write to themselves.
            let end = end.max(begun + 2).min(self.users);
            if end - begun >= 2 {
                let first_stream = world.streams.len() as u32;
                let actors = kind.lay_out(begun..end, sizes, &mut world);
                let streams = first_stream..world.streams.len() as u32;
                casts.push(Cast { kind: *kind, share: *share, users: begun..end, streams, actors });
            }
            begun = end;
        }
        Layout { world, casts }
    }

    /// The shares, as fractions of all.
    fn shares(&self) -> Vec<(Kind, f64)> {
        let all: f64 = self.mix.values().sum();
        self.mix.iter().filter(|(_, share)| **share > 0.0).map(|(kind, share)| (*kind, share / all)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_part_and_no_stream_leads_to_oneself() {
        for users in [2, 3, 7, 40, 1_001] {
            let world = Plan { users, ..Plan::default() }.lay_out().world;
            assert!(!world.streams.is_empty(), "{users}");
            for stream in &world.streams {
                let recipients = world.recipients(stream);
                assert!(!recipients.is_empty() && !recipients.contains(&stream.sender), "{users}: {stream:?}");
                assert!(recipients.iter().all(|user| *user < users), "{users}: {stream:?}");
            }
        }
    }
}
