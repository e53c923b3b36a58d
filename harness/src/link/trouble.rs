//! What can be wrong with a link.

use anyhow::{Context, Result, bail};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What goes wrong with a link, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Every byte takes this much longer.
    Slow(Duration),
    /// Each connection passes at most this many bytes a second.
    Thin(u64),
    /// Nothing passes, and neither side is told.
    Silent,
    /// Every open connection is broken off: over as soon as it has happened.
    Reset,
}

/// How good a link is: what troubles it at the moment. Several troubles add up, and each heals by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Quality {
    troubles: Vec<(u64, Trouble)>,
    /// Troubles so far; the last one's number.
    count: u64,
}

impl Quality {
    /// One more trouble; returns its number.
    pub fn add(&mut self, trouble: Trouble) -> u64 {
        self.count += 1;
        self.troubles.push((self.count, trouble));
        self.count
    }

    pub fn remove(&mut self, number: u64) {
        self.troubles.retain(|(other, _)| *other != number);
    }

    #[cfg(test)]
    pub fn is_good(&self) -> bool {
        self.troubles.is_empty()
    }

    pub fn latency(&self) -> Duration {
        self.all(|trouble| if let Trouble::Slow(latency) = trouble { Some(latency) } else { None }).sum()
    }

    /// `None`: as fast as it goes.
    pub fn bytes_per_second(&self) -> Option<u64> {
        self.all(|trouble| if let Trouble::Thin(rate) = trouble { Some(rate) } else { None }).min()
    }

    pub fn is_silent(&self) -> bool {
        self.troubles.iter().any(|(_, trouble)| *trouble == Trouble::Silent)
    }

    fn all<T>(&self, measure: impl Fn(Trouble) -> Option<T>) -> impl Iterator<Item = T> {
        self.troubles.iter().filter_map(move |(_, trouble)| measure(*trouble))
    }
}

/// As one process tells it to another.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Slow(latency) => write!(f, "slow {}", latency.as_millis()),
            Trouble::Thin(bytes_per_second) => write!(f, "thin {bytes_per_second}"),
            Trouble::Silent => f.write_str("silent"),
            Trouble::Reset => f.write_str("reset"),
        }
    }
}

impl FromStr for Trouble {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.parse().with_context(|| format!("no number: {text:?}"));
        Ok(match text.split(' ').collect::<Vec<_>>()[..] {
            ["slow", milliseconds] => Trouble::Slow(Duration::from_millis(number(milliseconds)?)),
            ["thin", rate] => Trouble::Thin(number(rate)?),
            ["silent"] => Trouble::Silent,
            ["reset"] => Trouble::Reset,
            _ => bail!("{text:?} is no trouble of a link"),
        })
    }
}
