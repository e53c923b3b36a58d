//! Simulations on a terminal.

use super::Found;
use loadgen::report::number;
use sim::campaign::{Asked, Failed, Plan, Tally};
use sim::{Lived, Schedule, told};
use std::fmt::Write;

/// Steps and faults, or seeds, that are shown; a schedule that was not made small has hundreds.
const SHOWN: usize = 24;

/// Where a run stands, in one line.
pub fn progress(tally: &Tally, plan: &Plan) -> String {
    let Tally { schedules, failed, .. } = tally;
    let of = plan.seeds.count().map(|seeds| format!(" of {}", number(seeds))).unwrap_or_default();
    format!(
        "{}{of} seeds, {:.1} a second, {} faults struck, {}, {} failed",
        number(*schedules),
        tally.per_second(),
        number(tally.faults()),
        reached(tally),
        failed.len()
    )
}

/// What a run came to.
pub fn summary(tally: &Tally) -> String {
    let Tally { schedules, canaries, length_ms, failed, took, .. } = tally;
    let mut text = format!(
        "{} schedules, {:.1} hours of virtual time, in {:.1} s ({:.1} a second); {} faults struck, {}; {} lived \
         through twice; {} failed\n",
        number(*schedules),
        *length_ms as f64 / 3.6e6,
        took.as_secs_f64(),
        tally.per_second(),
        number(tally.faults()),
        reached(tally),
        number(*canaries),
        failed.len()
    );
    if let Some(asked) = tally.stopped_short_of {
        let asked = match asked {
            Asked::Seeds(count) => number(count),
            Asked::AsManyAsFit => "as many as fit".to_owned(),
        };
        // Writing to memory cannot fail, here and below.
        let _ =
            writeln!(text, "stopped by hand: {} seeds were lived through, {asked} were asked for", number(*schedules));
    }
    if tally.deliveries == 0 {
        let _ = writeln!(text, "nothing was said that is owed to anybody, so nothing is proved");
    }
    let never = tally.never_reached();
    if !never.is_empty() {
        let _ = writeln!(text, "never reached: {}", never.join(", "));
    }
    text.push_str(&all_failed(tally));
    let _ = writeln!(text, "{}", tally.verdict().name());
    text
}

/// A line for each seed that failed, where several did: only one of each kind is told in full.
fn all_failed(tally: &Tally) -> String {
    let mut text = String::new();
    if tally.failed.len() > 1 {
        for Failed { schedule, failure, .. } in tally.failed.iter().take(SHOWN) {
            let _ = writeln!(text, "seed {} {failure}", schedule.seed);
        }
    }
    if tally.failed.len() > SHOWN {
        let _ = writeln!(text, "… and {} more", tally.failed.len() - SHOWN);
    }
    text
}

fn reached(tally: &Tally) -> String {
    let all = tally.to_reach.len();
    format!("{} of {all} rare states reached", all - tally.reached.missing(&tally.to_reach).len())
}

/// A failure, such that one can think about it.
pub fn found(found: &Found) -> String {
    let mut text = format!("seed {} {}\n\n{}:\n", found.whole.seed, found.failure, found.size());
    text.push_str(&steps(&found.left));
    text.push('\n');
    match &found.lived {
        Lived::Died(words) => {
            let _ = writeln!(text, "{words}");
        }
        Lived::Hung => {}
        Lived::Told(report) => {
            report.problems.iter().for_each(|problem| {
                let _ = writeln!(text, "{problem}");
            });
            text.push_str(&proof(found));
            text.push_str("(In the history users have their ids: user 0 is 1, and so on.)\n");
        }
    }
    let _ = writeln!(text, "\nto see it again: {}", found.again);
    text
}

/// What is wrong, and the lines of the history that prove it.
fn proof(found: &Found) -> String {
    let (entries, mut text) = (found.entries(), String::new());
    for finding in judge::check(entries).findings.iter().filter(|finding| finding.violated > 0) {
        for violation in &finding.violations {
            let _ = writeln!(text, "{} {}: {}", finding.guarantee, finding.guarantee.title(), violation.what);
            for event in &violation.events {
                let line = serde_json::to_string(&entries[*event]).unwrap_or_default();
                let _ = writeln!(text, "{:>7}: {line}", event + 1);
            }
        }
    }
    text
}

fn steps(schedule: &Schedule) -> String {
    let (lines, mut text) = (told::lines(schedule), String::new());
    for line in lines.iter().take(SHOWN) {
        let who = line.user.map_or("fault".to_owned(), |user| format!("user {user}"));
        let lasting = match line.length_ms {
            0 => String::new(),
            length => format!(", for {}", seconds(length)),
        };
        let _ = writeln!(text, "{:>10}  {who:<8} {}{lasting}", seconds(line.at_ms), line.what);
    }
    if lines.len() > SHOWN {
        let _ = writeln!(text, "            … and {} more", lines.len() - SHOWN);
    }
    text
}

/// Milliseconds as people read them.
pub(super) fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn failure_is_told_on_one_screen() {
        insta::assert_snapshot!(found(&samples::found()));
    }

    #[test]
    fn run_is_told_in_a_few_lines() {
        insta::assert_snapshot!(summary(&samples::tally()));
    }

    #[test]
    fn a_run_that_was_stopped_says_what_it_is_worth() {
        let mut tally = Tally { failed: Vec::new(), schedules: 1_234, ..samples::tally() };
        let mut told = |asked| {
            tally.stopped_short_of = Some(asked);
            summary(&tally)
        };
        insta::assert_snapshot!(told(Asked::Seeds(5_000)) + "\n" + &told(Asked::AsManyAsFit));
    }

    #[test]
    fn each_seed_that_failed_is_named() {
        let mut tally = samples::tally();
        let other = Schedule { seed: 8, ..tally.failed[0].schedule.clone() };
        tally.failed.push(Failed { schedule: other, failure: sim::Failure::Hung, lived: Lived::Hung });
        insta::assert_snapshot!(summary(&tally));
    }

    #[test]
    fn worker_that_died_is_told_by_its_last_words() {
        let words = "thread 'main' panicked at harness/sim/src/run.rs:1:2:\nboom".to_owned();
        let (failure, lived) = (sim::Failure::Died(words.clone()), Lived::Died(words));
        let whole = samples::found().left;
        insta::assert_snapshot!(found(&Found { failure, lived, whole, runs: 0, ..samples::found() }));
    }
}
