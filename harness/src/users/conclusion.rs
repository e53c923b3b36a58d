//! What a story came to: figures, and the verdict on every promise.

use anyhow::Result;
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

    /// What else went wrong counts where every promise was kept. A broken one says more, and may be why.
    ///
    /// # Errors
    /// If something went wrong, and the verdict is `valid`.
    pub(crate) fn provided(self, rest: Result<()>) -> Result<Conclusion> {
        match (rest, self.verdict()) {
            (Err(error), Verdict::Valid) => Err(error),
            (Err(error), _) => {
                eprintln!("besides: {error:#}");
                Ok(self)
            }
            (Ok(()), _) => Ok(self),
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

/// A story with one message that arrives and one that is lost while a node is down.
#[cfg(test)]
pub(crate) fn sample() -> Conclusion {
    told(true)
}

#[cfg(test)]
fn told(one_is_lost: bool) -> Conclusion {
    use judge::history::{Event, FORMAT, To};
    use uuid::Uuid;
    let login = |user| Event::Login { user, session: 1, node: Some("node-1".into()), waiting: 0 };
    let mid = Uuid::from_u128;
    let send = |number| {
        let (to, mid) = (To::User(2), mid(number));
        Event::Send { user: 1, session: 1, to, mid, body: number as u64, qos: 1, due: 0, again: false }
    };
    let ack = |number, seq| {
        let conv = Some("d1-2".to_owned());
        Event::Ack { user: 1, session: 1, mid: mid(number), conv, seq: Some(seq) }
    };
    let push = |number: u128, seq| {
        let (conv, mid) = ("d1-2".to_owned(), Some(mid(number)));
        Event::Push { user: 2, session: 1, from: 1, conv, seq, mid, body: number as u64 }
    };
    let fault = |healed| Event::Fault { what: "kill node-1".into(), healed };
    let events = [
        Event::Begin { format: FORMAT, run: 1 },
        login(1),
        login(2),
        send(1),
        ack(1, 1),
        push(1, 1),
        fault(false),
        send(2),
        fault(true),
        ack(2, 2),
    ];
    let arrives = (!one_is_lost).then(|| push(2, 2));
    let events = events.into_iter().chain(arrives).chain([Event::Drained { user: 2 }]);
    let entries = (0..).zip(events).map(|(t, event)| Entry { t: t * 500_000, event }).collect();
    let summary = Summary { acked: 2, delivered: 1, slowest_ack: Duration::from_secs(1), ..Summary::default() };
    Conclusion::of(entries, summary, 0, BTreeMap::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_is_told_promise_by_promise() {
        insta::assert_snapshot!(sample());
    }

    #[test]
    fn broken_promise_counts_for_more_than_what_else_went_wrong() {
        let wrong = || Err(anyhow::anyhow!("no log has more than 20 messages"));
        let verdict = |told: Result<Conclusion>| told.ok().map(|conclusion| conclusion.verdict());

        assert_eq!(verdict(told(true).provided(wrong())), Some(Verdict::Invalid));
        assert_eq!(verdict(told(false).provided(wrong())), None);
        assert_eq!(verdict(told(false).provided(Ok(()))), Some(Verdict::Valid));
    }
}
