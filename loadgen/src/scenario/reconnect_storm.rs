//! Everybody's connection breaks at once, while they write to each other; what was not acknowledged is sent again.

use super::friend_chat::FriendChat;
use super::{Control, Scenario, Sizes};
use crate::world::World;
use std::ops::Range;
use std::time::Duration;

pub struct ReconnectStorm;

impl Scenario for ReconnectStorm {
    fn lay_out(users: Range<u32>, sizes: Sizes, world: &mut World) -> Vec<u32> {
        FriendChat::lay_out(users.clone(), sizes, world);
        users.collect()
    }

    async fn act(actors: &[u32], control: &impl Control) {
        let period = control.away().max(Duration::from_millis(500));
        let begun = tokio::time::Instant::now();
        for storm in 1.. {
            if !control.sleep_until(begun + period * storm).await {
                return;
            }
            actors.iter().for_each(|user| control.break_off(*user));
        }
    }
}
