//! HISTORY shows a log from where it begins to its end, and says where it begins: further on with time, never back, and
//! never past what is still there. Where it may be read at a server that lags, a page is held to what it says itself,
//! and to what is there in the end.

use super::{Facts, Finding, Read, Violation};
use std::collections::HashMap;

pub fn check(facts: &Facts<'_>, finding: &mut Finding) {
    if facts.reads.is_empty() {
        return;
    }
    let known = Known::of(facts);
    for read in &facts.reads {
        let problem = hole(read).or_else(|| end(read, &known)).or_else(|| beginning(read, &known));
        finding.judge(problem.map(|(what, event)| Violation {
            what: format!("user {} read {}: {what}", read.user, read.conv),
            events: event.into_iter().chain([read.event]).collect(),
        }));
    }
}

/// What is wrong, and what else shows it.
type Problem = (String, Option<usize>);

/// What others were told of each log.
struct Known<'a> {
    /// It may have been told at a server that is ahead of the one that is read.
    may_lag: bool,
    /// Places that were acknowledged or pushed.
    said: HashMap<&'a str, Rising>,
    /// Where HISTORY said that it begins.
    begins: HashMap<&'a str, Rising>,
    /// The first message that is there when everything is over, and its line.
    first: HashMap<&'a str, (u64, usize)>,
}

impl<'a> Known<'a> {
    fn of(facts: &Facts<'a>) -> Known<'a> {
        let acked = facts.messages.iter().flat_map(|message| &message.acks);
        let acked = acked.filter_map(|(event, place)| Some((*event, (*place)?)));
        let pushed = facts.pushes.iter().map(|push| (push.event, (push.conv, push.seq)));
        let read = facts.reads.iter().filter_map(|read| Some((read.event, (read.conv, begins(read)?))));
        let mut first: HashMap<&str, (u64, usize)> = HashMap::new();
        for row in facts.rows.iter().filter(|row| !facts.removed.contains_key(&(row.conv, row.seq))) {
            let known = first.entry(row.conv).or_insert((row.seq, row.event));
            *known = (row.seq, row.event).min(*known);
        }
        let (said, begins) = (rising(facts, acked.chain(pushed)), rising(facts, read));
        Known { may_lag: facts.history_may_lag, said, begins, first }
    }
}

/// The largest number told until each moment, and where.
#[derive(Default)]
struct Rising(Vec<(u64, u64, usize)>);

impl Rising {
    fn as_of(&self, moment: u64) -> Option<(u64, usize)> {
        let before = self.0.partition_point(|(t, ..)| *t < moment);
        self.0[..before].last().map(|(_, number, event)| (*number, *event))
    }
}

fn rising<'a>(facts: &Facts<'_>, told: impl Iterator<Item = (usize, (&'a str, u64))>) -> HashMap<&'a str, Rising> {
    let mut all: HashMap<&str, Rising> = HashMap::new();
    for (event, (conv, number)) in told {
        all.entry(conv).or_default().0.push((facts.entries[event].t, number, event));
    }
    for Rising(told) in all.values_mut() {
        told.sort_unstable();
        let mut largest = (0, 0);
        for (_, number, event) in told {
            largest = largest.max((*number, *event));
            (*number, *event) = largest;
        }
    }
    all
}

/// Where the log begins, as this page has it; `None` where it does not say.
fn begins(read: &Read<'_>) -> Option<u64> {
    (!read.more).then(|| read.first_seq.unwrap_or(1))
}

fn hole(read: &Read<'_>) -> Option<Problem> {
    let pair = read.seqs.windows(2).find(|pair| pair[1] != pair[0].saturating_add(1))?;
    Some((format!("number {} comes right after number {}", pair[1], pair[0]), None))
}

/// A page reaches up to where it was asked for and no further, or to what was known to be there, if that was not
/// removed meanwhile.
fn end(read: &Read<'_>, known: &Known<'_>) -> Option<Problem> {
    let last = read.seqs.last().copied();
    if let Some((last, before)) = last.zip(read.before).filter(|(last, before)| last >= before) {
        return Some((format!("there is number {last}, though only those before {before} were asked for"), None));
    }
    let reached = match (last, begins(read)) {
        (Some(last), _) => last,
        (None, Some(first)) => first.saturating_sub(1),
        (None, None) => return Some(("it is empty, though there is more".into(), None)),
    };
    let (expected, event) = match read.before {
        _ if known.may_lag => return None,
        Some(before) => (before.saturating_sub(1), None),
        None => {
            let (seq, event) = known.said.get(read.conv)?.as_of(read.asked)?;
            (seq, Some(event))
        }
    };
    (reached < expected).then(|| (format!("it ends before number {expected}"), event))
}

/// A page may be older than what it says of the beginning, and reach further down.
fn beginning(read: &Read<'_>, known: &Known<'_>) -> Option<Problem> {
    let earlier = known.begins.get(read.conv).and_then(|begins| begins.as_of(read.asked)).filter(|_| !known.may_lag);
    let lowest = read.seqs.first();
    if let (Some((first, event)), Some(lowest)) = (earlier, lowest)
        && *lowest < first
    {
        return Some((format!("there is number {lowest}, though the log began at {first} before that"), Some(event)));
    }
    let Some(begins) = begins(read) else {
        let is_last = lowest == Some(&1) || read.first_seq.is_some();
        return is_last.then(|| ("there is more before its beginning".into(), None));
    };
    if let Some(lowest) = lowest.filter(|lowest| **lowest > begins) {
        return Some((format!("it ends at number {lowest}, though the log begins at {begins}"), None));
    }
    if let Some((first, event)) = earlier.filter(|(first, _)| begins < *first) {
        return Some((format!("the log begins at {begins}, and began at {first} before that"), Some(event)));
    }
    let (there, event) = known.first.get(read.conv).filter(|(there, _)| *there < begins)?;
    Some((format!("the log begins at {begins}, but number {there} is still there"), Some(*event)))
}
