//! The last moments of what is shown.

use serde::Serialize;
use std::collections::VecDeque;

/// Moments that are kept for those who come later: ten minutes, at one a second. Older ones are not shown any more.
pub const MAX_MOMENTS: usize = 600;

/// At most `MAX_MOMENTS`; beyond that each further one takes the place of the oldest.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Moments<M>(VecDeque<M>);

impl<M> Default for Moments<M> {
    fn default() -> Moments<M> {
        Moments(VecDeque::new())
    }
}

impl<M> Moments<M> {
    pub fn add(&mut self, moment: M) {
        if self.0.len() == MAX_MOMENTS {
            self.0.pop_front();
        }
        self.0.push_back(moment);
    }

    /// Those that are kept, the oldest first.
    pub fn kept(&self) -> &VecDeque<M> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept() {
        let mut moments = Moments::default();
        (0..=MAX_MOMENTS).for_each(|number| moments.add(number));
        assert_eq!(moments.kept().len(), MAX_MOMENTS);
        assert_eq!((moments.kept().front(), moments.kept().back()), (Some(&1), Some(&MAX_MOMENTS)));
    }
}
