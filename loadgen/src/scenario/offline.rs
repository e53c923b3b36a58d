//! Users who keep leaving and coming back, while friends write to them all the time.
//!
//! Each is away for as long as the plan says, then there for as long, beginning at a random moment, so that at any time
//! about half are away.

use super::{Control, Scenario, Sizes};
use crate::world::World;
use std::ops::Range;
use std::time::Duration;

pub struct Offline;

impl Scenario for Offline {
    fn lay_out(users: Range<u32>, _sizes: Sizes, world: &mut World) -> Vec<u32> {
        let users: Vec<u32> = users.collect();
        let mut away = Vec::new();
        for pair in users.chunks(2) {
            match *pair {
                [writer, reader] => {
                    world.befriend(writer, reader, false);
                    away.push(reader);
                }
                [writer] if users.len() > 1 => world.befriend(writer, users[1], false),
                _ => {}
            }
        }
        away
    }

    async fn act(actors: &[u32], control: &impl Control) {
        let period = control.away().max(Duration::from_millis(200));
        let mut random = control.random();
        // Who changes sides next, and when; a wheel of one turn's length.
        let mut wheel: Vec<(Duration, u32)> = actors.iter().map(|user| (period.mul_f64(random.f64()), *user)).collect();
        wheel.sort_unstable();
        let begun = tokio::time::Instant::now();
        for turn in 0.. {
            for &(offset, user) in &wheel {
                if !control.sleep_until(begun + period * turn + offset).await {
                    return come_back(actors, control);
                }
                if turn % 2 == 0 { control.leave(user) } else { control.come(user) }
            }
            if wheel.is_empty() {
                return;
            }
        }
    }
}

fn come_back(actors: &[u32], control: &impl Control) {
    actors.iter().for_each(|user| control.come(*user));
}
