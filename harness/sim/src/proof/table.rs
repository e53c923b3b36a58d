//! What a proof came to, as a table in Markdown, which is also to be read as it stands.

use super::{Bug, Found};
use judge::Guarantee;
use std::fmt;

/// One line for each bug.
#[derive(Default)]
pub struct Table(Vec<(Bug, Vec<Option<Found>>)>);

impl Table {
    pub fn add(&mut self, bug: Bug, found: Vec<Option<Found>>) {
        self.0.push((bug, found));
    }

    /// The bugs that some start did not find.
    pub fn not_found(&self) -> Vec<&'static str> {
        let missed = self.0.iter().filter(|(_, found)| found.iter().any(Option::is_none));
        missed.map(|(bug, _)| bug.failpoint.name()).collect()
    }

    /// Above the lines.
    pub fn head() -> &'static str {
        "| built in                | found by | after seeds | from each start\n|---|---|---|---"
    }

    pub fn line(bug: &Bug, found: &[Option<Found>]) -> String {
        let mut by: Vec<Guarantee> = found.iter().flatten().map(|found| found.by).collect();
        by.sort_unstable();
        by.dedup();
        let by: Vec<String> = by.iter().map(|promise| promise.to_string()).collect();
        let seeds = found.iter().map(|found| found.as_ref().map(|found| found.seeds));
        let each: Vec<String> = seeds.clone().map(told).collect();
        let name = format!("`{}`", bug.failpoint.name());
        let (by, median) = (by.join(", "), told(median(seeds.collect())));
        format!("| {name:<25} | {by:<6} | {median:>5} | {}", each.join(" "))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Table::head())?;
        self.0.iter().try_for_each(|(bug, found)| writeln!(f, "{}", Table::line(bug, found)))
    }
}

/// A start that finds nothing took longer than any that does.
fn median(mut seeds: Vec<Option<u64>>) -> Option<u64> {
    seeds.sort_unstable_by_key(|seeds| seeds.unwrap_or(u64::MAX));
    seeds.get(seeds.len().saturating_sub(1) / 2).copied().flatten()
}

fn told(seeds: Option<u64>) -> String {
    seeds.map_or_else(|| "–".into(), |seeds| seeds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::BUGS;

    #[test]
    fn start_that_finds_nothing_counts_as_the_longest() {
        assert_eq!(median(vec![Some(7), None, Some(3)]), Some(7));
        assert_eq!(median(vec![None, None, Some(3)]), None);
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn line_names_promises_and_seeds() {
        let found = |seeds, by| Some(Found { by, seeds, seed: seeds });
        let starts = [found(9, Guarantee::InOrder), None, found(4, Guarantee::DeliveredOnce)];
        let line = Table::line(&BUGS[0], &starts);
        assert_eq!(line, "| `push::drop`              | G2, G3 |     9 | 9 – 4");
        let mut table = Table::default();
        table.add(BUGS[0], starts.into());
        assert_eq!(table.not_found(), ["push::drop"]);
        assert_eq!(table.to_string(), format!("{}\n{line}\n", Table::head()));
    }
}
