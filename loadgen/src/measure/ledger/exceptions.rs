//! What became of messages that are done with and were not acknowledged: runs of consecutive numbers with the same
//! fate.
//!
//! A server that refuses everything makes one run of it, however long it goes on.

use super::Fate;
use std::collections::VecDeque;
use std::ops::Range;

/// Invariant: runs are ascending, do not overlap, and are not empty.
#[derive(Debug, Default)]
pub(super) struct Exceptions(VecDeque<(Range<u64>, Fate)>);

impl Exceptions {
    /// Adds a number above all there are.
    pub fn push(&mut self, number: u64, fate: Fate) {
        match self.0.back_mut() {
            Some((run, known)) if run.end == number && *known == fate => run.end += 1,
            _ => self.0.push_back((number..number + 1, fate)),
        }
    }

    pub fn runs(&self) -> usize {
        self.0.len()
    }

    pub fn fate(&self, number: u64) -> Option<Fate> {
        let place = self.0.partition_point(|(run, _)| run.end <= number);
        self.0.get(place).filter(|(run, _)| run.contains(&number)).map(|(_, fate)| *fate)
    }

    /// How many of `range` have this fate.
    pub fn count(&self, range: &Range<u64>, fate: Fate) -> u64 {
        let first = self.0.partition_point(|(run, _)| run.end <= range.start);
        let runs = self.0.iter().skip(first).take_while(|(run, _)| run.start < range.end);
        let same = runs.filter(|(_, known)| *known == fate);
        same.map(|(run, _)| run.end.min(range.end) - run.start.max(range.start)).sum()
    }

    /// Where the `place`-th run ends.
    pub fn end_of(&self, place: usize) -> Option<u64> {
        self.0.get(place).map(|(run, _)| run.end)
    }

    /// Drops what lies below `number`.
    pub fn forget_below(&mut self, number: u64) {
        while self.0.front().is_some_and(|(run, _)| run.end <= number) {
            self.0.pop_front();
        }
        if let Some((run, _)) = self.0.front_mut() {
            run.start = run.start.max(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_are_one_run_and_counts_are_of_single_numbers() {
        let mut exceptions = Exceptions::default();
        (0..1_000_000).for_each(|number| exceptions.push(number, Fate::Refused));
        exceptions.push(1_000_000, Fate::Unknown);
        exceptions.push(1_000_005, Fate::Refused);
        assert_eq!(exceptions.runs(), 3);
        for (number, fate) in [
            (0, Some(Fate::Refused)),
            (999_999, Some(Fate::Refused)),
            (1_000_000, Some(Fate::Unknown)),
            (1_000_001, None),
            (1_000_005, Some(Fate::Refused)),
            (1_000_006, None),
        ] {
            assert_eq!(exceptions.fate(number), fate, "{number}");
        }
        assert_eq!(exceptions.count(&(999_990..2_000_000), Fate::Refused), 11);
        assert_eq!(exceptions.count(&(0..1_000_001), Fate::Unknown), 1);
        exceptions.forget_below(999_999);
        assert_eq!((exceptions.count(&(0..2_000_000), Fate::Refused), exceptions.end_of(0)), (2, Some(1_000_000)));
        exceptions.forget_below(3_000_000);
        assert_eq!(exceptions.runs(), 0);
    }
}
