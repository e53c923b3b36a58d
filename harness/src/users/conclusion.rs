//! What a story came to: figures, and the verdict on every promise.

use judge::Verdict;
use judge::history::Entry;
use judge::{Facts, Judgement, recovery};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What a story's messages came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub acked: usize,
    /// Not acknowledged; stored or not.
    pub unknown: usize,
    /// Counting each recipient.
    pub delivered: usize,
    /// The longest that any message took until its ack, and until it was with a recipient.
    pub slowest_ack: Duration,
    pub slowest_delivery: Duration,
    /// From the end of a fault until the last user was served again.
    pub recovered: Option<Duration>,
}

/// A story that is over, judged.
pub struct Conclusion {
    pub summary: Summary,
    pub judgement: Judgement,
    entries: Vec<Entry>,
    /// Messages whose fate is not known although all the time has passed.
    pending: usize,
    /// Why messages have no ack.
    unknown: BTreeMap<String, usize>,
}

impl Conclusion {
    pub(super) fn of(
        entries: Vec<Entry>,
        summary: Summary,
        pending: usize,
        unknown: BTreeMap<String, usize>,
    ) -> Conclusion {
        let judgement = judge::check(&entries);
        let recovered = recovery::slowest(&Facts::new(&entries));
        Conclusion { summary: Summary { recovered, ..summary }, judgement, entries, pending, unknown }
    }

    /// The history that was judged.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// `valid` only where everything is known, and as it must be.
    pub fn verdict(&self) -> Verdict {
        match self.judgement.verdict() {
            Verdict::Valid if self.pending > 0 => Verdict::Unknown,
            verdict => verdict,
        }
    }

    /// Passes the figures on where the verdict is `valid`, and prints them.
    ///
    /// # Panics
    /// Where it is not: tells which promise is broken, and the lines of the history that show it.
    pub fn expect_valid(self) -> Summary {
        assert!(self.verdict() == Verdict::Valid, "the story ends badly:\n{self}");
        eprintln!("{}", self.summary);
        self.unknown.iter().for_each(|(reason, count)| eprintln!("  {count} times: {reason}"));
        self.summary
    }
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", judge::Told { judgement: &self.judgement, entries: &self.entries })?;
        if self.pending > 0 {
            writeln!(f, "{} messages are neither acknowledged nor refused: {}", self.pending, self.verdict().name())?;
        }
        writeln!(f, "{}", self.summary)?;
        self.unknown.iter().try_for_each(|(reason, count)| writeln!(f, "  {count} times: {reason}"))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { acked, unknown, delivered, slowest_ack, slowest_delivery, recovered } = self;
        write!(
            f,
            "{acked} acknowledged (the slowest after {slowest_ack:.1?}), {unknown} unknown, {delivered} delivered (the \
             slowest after {slowest_delivery:.1?})"
        )?;
        recovered.map_or(Ok(()), |after| write!(f, ", everybody served again {after:.1?} after the fault"))
    }
}
