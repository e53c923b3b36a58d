//! Baselines: results that are kept under a name, and what later runs are compared with.
//!
//! A baseline is a directory of results, one a round: what differs from round to round is noise, and what is called a
//! change is more than that.

use super::compare::{load, parse_percent};
use crate::analyse::capacity::{Probe, Purpose};
use crate::analyse::compare::{CONFIDENCE, Comparison, compare};
use crate::measure::Outcome;
use crate::plan::Plan;
use crate::report;
use anyhow::{Context, Result, bail};
use clap::Args;
use judge::Verdict;
use std::path::{Path, PathBuf};

/// Where baselines are kept unless told otherwise, from the current directory.
const DIRECTORY: &str = "target/loadgen/baselines";
/// Rounds where a baseline is made or compared with: as many as it takes to tell noise from change.
const ROUNDS: u32 = 3;
const MAX_ROUNDS: u32 = 100;

/// The flags.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Baselines")]
pub struct BaselineFlags {
    /// Keep the results under this name, in place of what was kept there, if all are valid
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    save_baseline: Option<String>,
    /// Compare with what was kept under this name, and tell change from noise
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    baseline: Option<String>,
    /// Where baselines are kept [default: target/loadgen/baselines, from here]
    #[arg(long, value_name = "DIR")]
    baselines: Option<PathBuf>,
    /// Runs of the plan, one after the other, each with chance of its own [default: 3 with a baseline, else 1]
    #[arg(long, value_name = "RUNS")]
    rounds: Option<u32>,
    /// Exit with 1 if any figure is worse than the baseline's by more than this and by more than noise
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent, requires = "baseline")]
    fail_over: Option<f64>,
}

fn parse_name(text: &str) -> Result<String, String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if text.is_empty() || text.starts_with('.') || text.len() > 100 || !text.chars().all(is_plain) {
        return Err("a baseline's name has letters, digits, - _ and ., and does not begin with .".into());
    }
    Ok(text.to_owned())
}

/// A run against a baseline.
pub struct Compared {
    pub comparison: Comparison,
    /// What it was compared with, for a person.
    pub with: String,
    /// More than `--fail-over` allows, if that was given: the metrics.
    pub failed: Vec<String>,
}

impl BaselineFlags {
    /// How often the plan is carried out.
    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.is_given() { ROUNDS } else { 1 })
    }

    /// Whether any of the flags is given.
    pub fn is_any_given(&self) -> bool {
        self.is_given() || self.baselines.is_some() || self.rounds.is_some() || self.fail_over.is_some()
    }

    fn is_given(&self) -> bool {
        self.save_baseline.is_some() || self.baseline.is_some()
    }

    /// Finds what cannot be done before anything runs; the results of the baseline to compare with, if any.
    pub fn check(&self, plan: &Plan, has_page: bool) -> Result<Option<Vec<Outcome>>> {
        if !(1..=MAX_ROUNDS).contains(&self.rounds()) {
            bail!("--rounds is from 1 to {MAX_ROUNDS}");
        }
        if self.rounds() > 1 && plan.start_at_ms.is_some() {
            bail!("only one of several rounds can begin at a set time: leave out --rounds or --start-at");
        }
        if self.is_given() && plan.shard.is_some() {
            bail!("a baseline is of whole runs, and not of a shard");
        }
        if has_page && (self.is_given() || self.rounds() > 1) {
            bail!("--live shows, and steers, one run: leave out --rounds and baselines");
        }
        let Some(name) = &self.baseline else { return Ok(None) };
        let directory = self.directory().join(name);
        if !directory.is_dir() {
            let known = names(&self.directory());
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            bail!("no baseline {name:?} in {}; there are: {known}", self.directory().display());
        }
        load(&directory).map(Some)
    }

    /// Keeps the results where that was asked for, and compares them with those of the baseline.
    pub fn conclude(&self, before: Option<Vec<Outcome>>, rounds: &[Outcome]) -> Result<Option<Compared>> {
        let compared = before.map(|before| self.compare(&before, rounds)).transpose()?;
        if let Some(name) = &self.save_baseline {
            if rounds.iter().all(|outcome| outcome.verdict == Verdict::Valid && !outcome.interrupted) {
                let directory = self.directory().join(name);
                save(&directory, rounds)?;
                eprintln!("baseline {name}: {} kept in {}", counted(rounds.len()), directory.display());
            } else {
                eprintln!("loadgen: baseline {name} is left as it was: not every round was valid and whole");
            }
        }
        Ok(compared)
    }

    fn compare(&self, before: &[Outcome], rounds: &[Outcome]) -> Result<Compared> {
        let comparison = compare(before, rounds, CONFIDENCE)?;
        let name = self.baseline.as_deref().unwrap_or_default();
        let kept = before.iter().map(|outcome| outcome.started_ms).max().unwrap_or(0);
        let with = format!("{name} ({} of {})", counted(before.len()), crate::plan::show_time(kept));
        let limit = self.fail_over.unwrap_or(f64::INFINITY);
        let failed = comparison.failures(limit).iter().map(|row| row.metric.clone()).collect();
        Ok(Compared { comparison, with, failed })
    }

    fn directory(&self) -> PathBuf {
        self.baselines.clone().unwrap_or_else(|| DIRECTORY.into())
    }
}

/// The plan of the `number`-th of several rounds.
pub fn round(plan: &Plan, number: u32, rounds: u32) -> Plan {
    let mut plan = plan.clone();
    plan.seed = plan.seed.wrapping_add(u64::from(number));
    if rounds > 1 {
        plan.keep = plan.keep.map(|directory| directory.join(format!("round-{}", number + 1)));
    }
    plan
}

/// The round that stands for all, its assertions checked: the first that did not pass, or the one in the middle by its
/// slowest p99.
pub fn representative(rounds: &[Outcome]) -> Option<Outcome> {
    let count = rounds.len();
    let failed = rounds.iter().position(|outcome| outcome.exit_code() != 0);
    let mut by_p99: Vec<usize> = (0..count).collect();
    by_p99.sort_by_key(|place| Probe::of(&rounds[*place], Purpose::Step).p99);
    let number = failed.or_else(|| by_p99.get(count / 2).copied())?;
    let mut outcome = rounds[number].clone();
    if count > 1 {
        let which = if failed.is_some() { "the first that did not pass" } else { "the one in the middle by p99" };
        outcome.warnings.push(format!("this is round {} of {count}, {which}", number + 1));
    }
    Some(outcome)
}

/// The comparison for a terminal: what came of it first.
pub fn table(compared: &Compared) -> String {
    let summary = report::compare::summary(&compared.comparison);
    format!("\nagainst baseline {}: {summary}\n\n{}", compared.with, report::compare::table(&compared.comparison))
}

/// The same as Markdown.
pub fn markdown(compared: &Compared) -> String {
    let [with, summary] = [compared.with.clone(), report::compare::summary(&compared.comparison)]
        .map(|text| report::markdown_text(&text));
    format!("**Against baseline {with}**: {summary}\n\n{}\n", report::compare::markdown(&compared.comparison))
}

fn counted(rounds: usize) -> String {
    if rounds == 1 { "1 round".into() } else { format!("{rounds} rounds") }
}

/// Writes all of it beside what is there, and only then puts it in its place.
fn save(directory: &Path, rounds: &[Outcome]) -> Result<()> {
    let mut new = directory.as_os_str().to_owned();
    // No baseline is called so.
    new.push("~");
    let new = PathBuf::from(new);
    let failed = || format!("cannot keep the baseline {}", directory.display());
    let is_missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let remove = |path: &Path| match std::fs::remove_dir_all(path) {
        Err(error) if !is_missing(&error) => Err(error),
        _ => Ok(()),
    };
    remove(&new).and_then(|()| std::fs::create_dir_all(&new)).with_context(failed)?;
    for (place, outcome) in rounds.iter().enumerate() {
        let file = new.join(format!("round-{:03}.json", place + 1));
        std::fs::write(&file, report::json(outcome)).with_context(failed)?;
    }
    remove(directory).and_then(|()| std::fs::rename(&new, directory)).with_context(failed)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = directories.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| parse_name(name).is_ok());
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Latencies, LatencyKind};

    fn outcome(p99: u64, verdict: Verdict) -> Outcome {
        let mut outcome = Outcome::failed(Plan::default(), String::new());
        let mut cross = Latencies::default();
        (0..100).for_each(|_| cross.record(p99));
        outcome.latencies.insert(LatencyKind::Cross, cross);
        (outcome.verdict, outcome.measured_s) = (verdict, 5.0);
        outcome
    }

    #[test]
    fn the_round_in_the_middle_stands_for_all_unless_one_did_not_pass() {
        let p99 = |outcome: Outcome| outcome.latencies[&LatencyKind::Cross].percentile(99.0);
        let mut rounds = [900, 100, 500].map(|p99| outcome(p99, Verdict::Valid)).to_vec();
        let middle = representative(&rounds).expect("there are some");
        assert_eq!(middle.warnings.last().expect("a note"), "this is round 3 of 3, the one in the middle by p99");
        assert_eq!(p99(middle), 500);
        rounds.push(outcome(300, Verdict::Unknown));
        assert_eq!(p99(representative(&rounds).expect("there are some")), 300);
        assert!(representative(&rounds[..1]).expect("there is one").warnings.is_empty());
    }

    #[test]
    fn what_is_kept_is_replaced_as_a_whole() {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = parent.path().join("deep/main.2");
        save(&directory, &[outcome(1, Verdict::Valid), outcome(2, Verdict::Valid)]).expect("kept");
        save(&directory, &[outcome(3, Verdict::Valid)]).expect("kept");
        assert_eq!(load(&directory).expect("read back"), [outcome(3, Verdict::Valid)]);
        assert_eq!(names(&parent.path().join("deep")), ["main.2"]);
    }

    #[test]
    fn a_name_is_no_path() {
        for wrong in ["", ".", "..", "a/b", ".a", "a b", "ä"] {
            assert!(parse_name(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_name("main-1.2_x").as_deref(), Ok("main-1.2_x"));
    }
}
