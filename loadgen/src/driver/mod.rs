//! Sends messages: when they are due (open model), or as others settle (closed model).

#[cfg(feature = "goose")]
pub mod goose;
pub mod native;
pub mod schedule;

use crate::run::Run;
use crate::world::World;

/// Which stream the next message goes to: a scenario by its share, then one of its streams.
#[derive(Clone, Debug)]
pub struct Picker {
    /// Upper ends of the shares, and the streams.
    lanes: Vec<(f64, std::ops::Range<u32>)>,
    random: fastrand::Rng,
}

impl Picker {
    /// Scenarios that send nothing leave their share to the others.
    pub fn new(run: &Run, purpose: u64) -> Picker {
        let shares = lanes(&run.world, &run.plan.shares());
        Picker { lanes: shares, random: run.random(purpose) }
    }

    /// `None` if nothing in the world sends.
    pub fn next_stream(&mut self) -> Option<u32> {
        let chance = self.random.f64();
        let lane = self.lanes.iter().find(|(end, _)| chance < *end).or(self.lanes.last())?;
        Some(self.random.u32(lane.1.clone()))
    }
}

fn lanes(world: &World, shares: &[(crate::scenario::Kind, f64)]) -> Vec<(f64, std::ops::Range<u32>)> {
    let sending = world.casts.iter().filter(|cast| !cast.streams.is_empty());
    let share_of = |kind| shares.iter().find(|(known, _)| *known == kind).map_or(0.0, |(_, share)| *share);
    let all: f64 = sending.clone().map(|cast| share_of(cast.kind)).sum();
    let mut upto = 0.0;
    sending
        .map(|cast| {
            upto += share_of(cast.kind) / all;
            (upto, cast.streams.clone())
        })
        .collect()
}
