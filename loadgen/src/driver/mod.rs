//! Sends messages: when they are due (open model), or as others settle (closed model).

#[cfg(feature = "goose")]
pub mod goose;
pub mod native;
pub mod schedule;

use crate::plan::Cast;
use crate::user::Run;

/// Which stream the next message goes to: a scenario by its share, then one of its streams.
#[derive(Clone, Debug)]
pub struct Picker {
    /// Upper ends of the shares, and the streams.
    shares: Vec<(f64, std::ops::Range<u32>)>,
    random: fastrand::Rng,
}

impl Picker {
    /// Scenarios that send nothing leave their share to the others.
    pub fn new(run: &Run, purpose: u64) -> Picker {
        Picker { shares: shares(&run.casts), random: run.random(purpose) }
    }

    /// `None` if nothing in the world sends.
    pub fn next_stream(&mut self) -> Option<u32> {
        let chance = self.random.f64();
        let share = self.shares.iter().find(|(end, _)| chance < *end).or(self.shares.last())?;
        Some(self.random.u32(share.1.clone()))
    }
}

/// Upper ends of the shares of those who send, and their streams.
fn shares(casts: &[Cast]) -> Vec<(f64, std::ops::Range<u32>)> {
    let sending = casts.iter().filter(|cast| !cast.streams.is_empty());
    let all: f64 = sending.clone().map(|cast| cast.share).sum();
    let mut upto = 0.0;
    sending
        .map(|cast| {
            upto += cast.share / all;
            (upto, cast.streams.clone())
        })
        .collect()
}
