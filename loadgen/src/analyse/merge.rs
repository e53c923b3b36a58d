//! Adds the outcomes of several processes into one.
//!
//! Histograms and accounts are added exactly: the percentiles of the sum are those that one process would have found.
//! Rows of seconds keep no histograms, so their counts add up exactly, while the percentile of a merged second is the
//! highest of its parts: an upper bound. A shard that is missing leaves the verdict unknown, for what it saw is not
//! known. Parts may come from anybody, so no sum overflows: it stays at the highest number there is.

use crate::measure::{Intervention, Outcome, Point, Resources, Second};
use judge::Verdict;
use std::collections::{BTreeMap, BTreeSet};

/// Outcomes whose measured times begin further apart than this, in milliseconds, did not load the server together.
const TOGETHER_MS: i64 = 1_000;
/// A clock that is known no better than this, in microseconds, may put a second beside the wrong ones of the others.
const CLOCK_KNOWN_MICROS: u64 = 250_000;

/// Why outcomes cannot be added. Stop, and show the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("nothing to merge")]
    Nothing,
    #[error("{one} and {other} are both shard {shard}")]
    Twice { one: String, other: String, shard: String },
    #[error("{one} is a shard of {one_count}, {other} of {other_count}")]
    Counts { one: String, one_count: u32, other: String, other_count: u32 },
    #[error("{one} and {other} did not carry out the same plan: {what} differs")]
    Plans { one: String, other: String, what: &'static str },
    #[error("{one} and {other} are the same result")]
    Same { one: String, other: String },
}

/// Adds outcomes, each with the name that errors call it by.
pub fn merge(parts: &[(String, Outcome)]) -> Result<Outcome, Error> {
    let ((first_name, first), rest) = parts.split_first().ok_or(Error::Nothing)?;
    for (place, (name, outcome)) in rest.iter().enumerate() {
        same_plan(first_name, first, name, outcome)?;
        for (earlier_name, earlier) in &parts[..=place] {
            apart(earlier_name, earlier, name, outcome)?;
        }
    }
    let outcomes: Vec<&Outcome> = parts.iter().map(|(_, outcome)| outcome).collect();
    let mut sum = add(&outcomes);
    let missing = missing(&outcomes);
    judge(&mut sum, parts, &missing);
    Ok(sum)
}

fn same_plan(one: &str, first: &Outcome, other: &str, outcome: &Outcome) -> Result<(), Error> {
    let (a, b) = (&first.plan, &outcome.plan);
    let differences = [
        ("dialect", a.dialect != b.dialect),
        ("profile", a.profile != b.profile),
        ("mix", a.mix != b.mix),
        ("qos", a.qos != b.qos),
        ("body", a.body != b.body),
        ("window", a.window != b.window),
        ("arrivals", a.arrivals != b.arrivals),
    ];
    match differences.into_iter().find(|(_, differ)| *differ) {
        Some((what, _)) => Err(Error::Plans { one: one.to_owned(), other: other.to_owned(), what }),
        None => Ok(()),
    }
}

/// Finds two files that would be counted twice.
fn apart(one: &str, a: &Outcome, other: &str, b: &Outcome) -> Result<(), Error> {
    let (one, other) = (one.to_owned(), other.to_owned());
    match (a.plan.shard, b.plan.shard) {
        (Some(x), Some(y)) if x.count != y.count => {
            Err(Error::Counts { one, one_count: x.count, other, other_count: y.count })
        }
        (Some(x), Some(y)) if x == y => Err(Error::Twice { one, other, shard: x.to_string() }),
        _ if a.measured_s > 0.0 && a == b => Err(Error::Same { one, other }),
        _ => Ok(()),
    }
}

fn add(outcomes: &[&Outcome]) -> Outcome {
    let first = outcomes[0];
    let mut sum = Outcome { shards: 0, machines: Vec::new(), ..Outcome::failed(first.plan.clone(), String::new()) };
    let (from, length_s) = measured_time(outcomes);
    sum.measured_from_ms = from;
    sum.measured_s = length_s;
    sum.started_ms = outcomes.iter().map(|outcome| outcome.started_ms).filter(|at| *at > 0).min().unwrap_or(0);
    sum.resources = resources(outcomes);
    sum.seconds = seconds(outcomes, from);
    sum.interventions = interventions(outcomes, from);
    sum.answers = first.answers;
    sum.plan.users = outcomes.iter().fold(0, |users, outcome| users.saturating_add(outcome.plan.users));
    sum.plan.rate = outcomes.iter().map(|outcome| outcome.plan.rate).sum();
    unshard(&mut sum);
    for outcome in outcomes {
        sum.account.add(&outcome.account);
        for (kind, latencies) in &outcome.latencies {
            sum.latencies.entry(*kind).or_default().add(latencies);
        }
        for (kind, count) in &outcome.errors {
            add_to(sum.errors.entry(kind.clone()).or_default(), *count);
        }
        sum.online.0 = sum.online.0.saturating_add(outcome.online.0);
        sum.online.1 = sum.online.1.saturating_add(outcome.online.1);
        add_to(&mut sum.logins, outcome.logins);
        add_to(&mut sum.unsent, outcome.unsent);
        add_to(&mut sum.stored, outcome.stored);
        sum.shards = sum.shards.saturating_add(outcome.shards);
        sum.interrupted |= outcome.interrupted;
        sum.drained_s = sum.drained_s.max(outcome.drained_s);
        sum.cut_short |= outcome.cut_short;
        sum.machines.extend(outcome.machines.iter().cloned());
        sum.clocks.extend(outcome.clocks.iter().cloned());
        sum.thresholds.extend(outcome.thresholds.iter().cloned());
    }
    let nodes: BTreeSet<&String> = outcomes.iter().flat_map(|outcome| &outcome.nodes).collect();
    sum.nodes = nodes.into_iter().cloned().collect();
    sum
}

fn add_to(sum: &mut u64, part: u64) {
    *sum = sum.saturating_add(part);
}

/// The plan that the shards had parts of, as far as it can be told from a part.
fn unshard(sum: &mut Outcome) {
    if let Some(shard) = sum.plan.shard.take() {
        let tag = format!("-{}", shard.tag());
        if let Some(prefix) = sum.plan.prefix.strip_suffix(&tag) {
            sum.plan.prefix = prefix.to_owned();
        }
        sum.plan.seed = sum.plan.seed.wrapping_sub(u64::from(shard.index)).wrapping_add(1);
        sum.plan.accounts = None;
        sum.plan.keep = None;
    }
}

/// From when, in milliseconds since the Unix epoch, and for how many seconds anyone measured.
fn measured_time(outcomes: &[&Outcome]) -> (i64, f64) {
    let measured = || outcomes.iter().filter(|outcome| outcome.measured_s > 0.0);
    let from = measured().map(|outcome| outcome.measured_from_ms).min().unwrap_or(0);
    let ends =
        measured().map(|outcome| outcome.measured_from_ms.saturating_sub(from) as f64 / 1e3 + outcome.measured_s);
    (from, ends.fold(0.0, f64::max))
}

/// CPU seconds and memory add up; cores do so across hosts only.
fn resources(outcomes: &[&Outcome]) -> Resources {
    let mut sum = Resources::default();
    let mut hosts: BTreeMap<&str, u32> = BTreeMap::new();
    for outcome in outcomes {
        let used = &outcome.resources;
        sum.generator_cpu_s += used.generator_cpu_s;
        sum.nodes_cpu_s += used.nodes_cpu_s;
        add_to(&mut sum.memory_bytes, used.memory_bytes);
        add_to(&mut sum.memory_before_bytes, used.memory_before_bytes);
        add_to(&mut sum.nodes_memory_bytes, used.nodes_memory_bytes);
        add_to(&mut sum.nodes_memory_before_bytes, used.nodes_memory_before_bytes);
        sum.embedded |= used.embedded;
        sum.nodes_apart |= used.nodes_apart;
        let host = outcome.machines.first().map_or("", |machine| machine.host.as_str());
        let cores = hosts.entry(host).or_default();
        *cores = used.cores.max(*cores);
    }
    sum.cores = hosts.into_values().fold(0, u32::saturating_add);
    sum
}

/// All that was done to any, by the time of the whole.
fn interventions(outcomes: &[&Outcome], from: i64) -> Vec<Intervention> {
    let shifted = outcomes.iter().flat_map(|outcome| {
        let offset = outcome.measured_from_ms.saturating_sub(from).max(0) as u64;
        let later = move |at_ms: u64| at_ms.saturating_add(offset);
        outcome.interventions.iter().map(move |done| Intervention { at_ms: later(done.at_ms), act: done.act })
    });
    let mut all: Vec<Intervention> = shifted.collect();
    all.sort_by_key(|done| done.at_ms);
    all
}

fn seconds(outcomes: &[&Outcome], from: i64) -> Vec<Second> {
    let mut rows: BTreeMap<i64, Second> = BTreeMap::new();
    for outcome in outcomes {
        let offset = outcome.measured_from_ms.saturating_sub(from);
        for second in &outcome.seconds {
            // The row that this one lies in for the most part: clocks and timers differ by some milliseconds.
            let at = offset.saturating_add_unsigned(second.at_ms);
            let row = rows.entry(at.saturating_add(500).div_euclid(1_000)).or_default();
            row.length_ms = row.length_ms.max(second.length_ms);
            add_to(&mut row.sent, second.sent);
            add_to(&mut row.delivered, second.delivered);
            for (kind, point) in &second.latencies {
                add_point(row.latencies.entry(*kind).or_default(), point);
            }
        }
    }
    rows.into_iter().map(|(number, row)| Second { at_ms: number.max(0) as u64 * 1_000, ..row }).collect()
}

fn add_point(sum: &mut Point, point: &Point) {
    add_to(&mut sum.count, point.count);
    sum.p50 = sum.p50.max(point.p50);
    sum.p99 = sum.p99.max(point.p99);
    sum.max = sum.max.max(point.max);
}

/// The shards of which there is no outcome.
fn missing(outcomes: &[&Outcome]) -> Vec<u32> {
    let known: BTreeSet<u32> =
        outcomes.iter().filter_map(|outcome| outcome.plan.shard).map(|shard| shard.index).collect();
    let count = outcomes.iter().find_map(|outcome| outcome.plan.shard).map_or(0, |shard| shard.count);
    (1..=count).filter(|index| !known.contains(index)).collect()
}

fn judge(sum: &mut Outcome, parts: &[(String, Outcome)], missing: &[u32]) {
    sum.judge();
    for (name, outcome) in parts.iter().filter(|(_, outcome)| outcome.measured_s <= 0.0) {
        sum.verdict = Verdict::Invalid;
        sum.reasons.push(format!("{name} measured nothing: {}", outcome.reasons.join("; ")));
    }
    for index in missing {
        sum.verdict = sum.verdict.max(Verdict::Unknown);
        sum.reasons.push(format!("shard {index} is missing"));
    }
    for clock in sum.clocks.iter().filter(|clock| clock.within_micros > CLOCK_KNOWN_MICROS) {
        sum.warnings.push(format!(
            "the clock of shard {} is known within {} ms only: its seconds may stand beside the wrong ones of the \
             others",
            clock.shard,
            clock.within_micros / 1_000
        ));
    }
    let begun =
        parts.iter().filter(|(_, outcome)| outcome.measured_s > 0.0).map(|(_, outcome)| outcome.measured_from_ms);
    let apart = begun.clone().max().unwrap_or(0).saturating_sub(begun.min().unwrap_or(0));
    if apart > TOGETHER_MS {
        let apart = apart as f64 / 1e3;
        // Who compared clocks has begun by them, and cannot be given a time as well.
        let help = if sum.clocks.is_empty() { "; use --start-at" } else { "" };
        sum.warnings.push(format!(
            "the measured times begin {apart:.1} s apart: rates are of the whole time from the first to the last{help}"
        ));
    }
}

#[cfg(test)]
mod tests;
