//! Outcomes for people and programs: one file per form.

pub mod capacity;
pub mod compare;
pub mod rates;
pub mod sweep;

mod csv;
mod hdr;
mod html;
mod json;
mod junit;
mod markdown;
mod table;

pub use crate::measure::figures::{duration, number, rate};
pub use csv::csv;
pub use hdr::hdr;
pub(crate) use html::{STYLE, class as path_class};
pub use html::{escape, html, page, plot};
pub use json::json;
pub use junit::{Case, junit, suite};
pub(crate) use markdown::escape as markdown_text;
pub use markdown::markdown;
pub use table::table;

use crate::measure::Outcome;
use crate::world::Audience;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;

/// Of a server that answers no message.
const NOTHING_ACKNOWLEDGED: &str = "nothing acknowledged";

/// The forms of a result on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    #[default]
    Table,
    Json,
    /// One row per path
    Csv,
    Markdown,
}

/// The outcome in the form asked for.
pub fn render(outcome: &Outcome, format: Format) -> String {
    match format {
        Format::Table => table(outcome),
        Format::Json => json(outcome),
        Format::Csv => csv(outcome),
        Format::Markdown => markdown(outcome),
    }
}

/// Whether standard output takes colours: a terminal, and `NO_COLOR` is not set.
pub fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// What was loaded, and how, in one line.
pub fn subject(outcome: &Outcome) -> String {
    let plan = &outcome.plan;
    let target = match (outcome.resources.embedded, plan.targets.as_slice()) {
        (true, _) | (_, []) => format!("embedded cluster of {} nodes", plan.nodes),
        (false, targets) => targets.join(", "),
    };
    let load = match plan.window {
        Some(window) => format!("closed model, {window} outstanding per stream"),
        None if !outcome.has_senders() => "nobody writes".to_owned(),
        None => format!("open model, {} messages/s", rate(plan.rate)),
    };
    let processes = if outcome.shards > 1 { format!(", {} processes", outcome.shards) } else { String::new() };
    let users = number(u64::from(plan.users));
    let assurance = assurance(outcome);
    format!("{target}: {users} users, {load}, {assurance}, {:.1} s{processes}", outcome.measured_s)
}

/// What senders are told of their messages: the quality of service that was asked for, or, of a classic server, what it
/// answers.
fn assurance(outcome: &Outcome) -> String {
    let Some(answers) = outcome.answers() else { return format!("qos {}", outcome.plan.qos) };
    let world = outcome.plan.lay_out().world;
    let writes = |wanted: fn(&Audience) -> bool| world.streams.iter().any(|stream| wanted(&stream.to));
    let friends = writes(|to| matches!(to, Audience::Friend(_))).then_some(answers.chat);
    let groups = writes(|to| matches!(to, Audience::Group(_))).then_some(answers.group_chat);
    let text = match (friends, groups) {
        (Some(true), Some(false)) => "messages to friends acknowledged, to groups not",
        (Some(false), Some(true)) => "messages to groups acknowledged, to friends not",
        (Some(true), _) | (_, Some(true)) => "messages acknowledged",
        _ => NOTHING_ACKNOWLEDGED,
    };
    text.to_owned()
}

/// How many messages were acknowledged, in words.
fn acknowledged(outcome: &Outcome) -> String {
    let is_never = outcome.answers().is_some_and(|answers| !answers.chat && !answers.group_chat);
    match outcome.account.acknowledged {
        0 if is_never => NOTHING_ACKNOWLEDGED.to_owned(),
        count => format!("{} acknowledged", number(count)),
    }
}

/// What is to be said beside the verdict of assertions that failed, if any.
pub fn failed_assertions(outcome: &Outcome) -> Option<String> {
    match outcome.failed_assertions() {
        0 => None,
        1 => Some("1 assertion failed".into()),
        failed => Some(format!("{failed} assertions failed")),
    }
}

/// The CPU that a run took, in one line.
fn cpu(outcome: &Outcome) -> String {
    let used = &outcome.resources;
    let share = |seconds: f64| format!("{:.0} %", 100.0 * seconds / outcome.measured_s.max(f64::MIN_POSITIVE));
    let nodes = if used.embedded { format!(", the nodes {}", share(used.nodes_cpu_s)) } else { String::new() };
    format!("the generator used {} of one core{nodes}, of {} cores", share(used.generator_cpu_s), used.cores)
}

/// The memory that a run took at its end, and what each user added to it, in one line.
fn memory(outcome: &Outcome) -> String {
    let used = &outcome.resources;
    let users = outcome.online.0;
    let part = |bytes: u64, per_user: u64| format!("{} MB, {:.1} KB a user", bytes / 1_000_000, per_user as f64 / 1e3);
    let ours = part(used.memory_bytes, used.memory_per_user(users));
    match (used.embedded, used.nodes_apart) {
        (true, true) => {
            let theirs = part(used.nodes_memory_bytes, used.nodes_memory_per_user(users));
            format!("the generator {ours}; the nodes {theirs}")
        }
        (true, false) => format!("generator and nodes {ours}"),
        (false, _) => format!("the generator {ours}"),
    }
}

/// How the machines' clocks stood to the one that the times are by, in one line; `None` where each went by its own.
fn clocks(outcome: &Outcome) -> Option<String> {
    let millis = |micros: u64| micros as f64 / 1e3;
    let off = outcome.clocks.iter().map(|clock| clock.behind_micros.unsigned_abs()).max()?;
    let within = outcome.clocks.iter().map(|clock| clock.within_micros).max()?;
    Some(format!(
        "off by {:.1} ms at most, known within {:.1} ms; times are by that of Redis",
        millis(off),
        millis(within)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::assert::check;
    use crate::measure::{ClockOffset, Latencies, LatencyKind, Machine, Point, Second};
    use crate::plan::Plan;

    /// An outcome with a bit of everything: one message is lost, one assertion holds and one does not.
    pub(super) fn outcome() -> Outcome {
        let mut outcome = Outcome::failed(Plan::default(), String::new());
        let mut cross = Latencies::default();
        (1..=1_000).for_each(|value| cross.record(value * 100));
        let count = cross.count();
        outcome.latencies.insert(LatencyKind::Cross, cross);
        outcome.account.sent = count + 1;
        outcome.account.acknowledged = count + 1;
        outcome.account.expected = count + 1;
        outcome.account.delivered = count;
        outcome.account.lost = 1;
        (outcome.started_ms, outcome.measured_from_ms, outcome.measured_s) = (1_000, 2_000, 20.0);
        (outcome.logins, outcome.online) = (400, (400, 400));
        let point = Point { count: 50, p50: 400, p99: 9_000, max: 90_000 };
        outcome.seconds = (0..20)
            .map(|second| Second {
                at_ms: second * 1_000,
                length_ms: 1_000,
                latencies: [(LatencyKind::Cross, point)].into(),
                sent: 50,
                delivered: 50,
            })
            .collect();
        outcome.command = "loadgen run".into();
        outcome.machines =
            vec![Machine { host: "here".into(), cores: 4, loadgen: "1.2.3".into(), ..Machine::default() }];
        outcome.errors.insert("connect: refused, \"again\" | <later>".into(), 3);
        outcome.judge();
        let assertions = ["p99(cross) < 1s", "lost == 0"].map(|text| text.parse().expect("a lawful assertion"));
        check(&mut outcome, &assertions);
        outcome
    }

    #[test]
    fn what_is_stored_has_the_names_that_other_versions_know() {
        let mut outcome = outcome();
        outcome.seconds.truncate(1);
        insta::assert_snapshot!(json(&outcome));
    }

    #[test]
    fn an_outcome_is_read_back_as_it_was_stored() {
        let stored: Outcome = serde_json::from_str(&json(&outcome())).expect("read back");
        assert_eq!(stored, outcome());
    }

    #[test]
    fn what_senders_are_told_is_said_as_it_is() {
        use crate::measure::Answers;
        use crate::plan::DialectName::{Bare, Checked, Framed};
        use crate::scenario::Kind::{FriendChat, GroupChat, Idle};
        let check = |dialect, answers: Option<(bool, bool)>, mix: &[_], expected: &str| {
            let mix = mix.iter().map(|kind| (*kind, 1.0)).collect();
            let mut outcome = Outcome::failed(Plan { dialect, mix, ..Plan::default() }, String::new());
            outcome.answers = answers.map(|(chat, group_chat)| Answers { chat, group_chat });
            let told = subject(&outcome);
            assert!(told.contains(&format!(", {expected}, 0.0 s")), "{expected}: {told}");
            assert_eq!(told.contains("qos"), dialect == Framed, "{told}");
            assert!(markdown(&outcome).contains(expected) && html(&outcome).contains(expected), "{expected}");
        };
        check(Framed, None, &[FriendChat], "qos 1");
        check(Bare, Some((false, false)), &[FriendChat, GroupChat], "nothing acknowledged");
        check(Checked, Some((true, false)), &[FriendChat], "messages acknowledged");
        check(Checked, Some((true, false)), &[GroupChat], "nothing acknowledged");
        check(
            Checked,
            Some((true, false)),
            &[FriendChat, GroupChat],
            "messages to friends acknowledged, to groups not",
        );
        check(Bare, Some((false, true)), &[FriendChat, GroupChat], "messages to groups acknowledged, to friends not");
        check(Bare, Some((true, true)), &[FriendChat, GroupChat], "messages acknowledged");
        check(Bare, Some((true, true)), &[Idle], "nothing acknowledged");
        // As results of earlier versions are.
        check(Bare, None, &[FriendChat], "nothing acknowledged");
        check(Checked, None, &[FriendChat, GroupChat], "messages to friends acknowledged, to groups not");
    }

    #[test]
    fn clocks_are_told_where_several_were_compared() {
        let mut outcome = outcome();
        assert_eq!(clocks(&outcome), None);
        let clock = |shard, behind_micros, within_micros| ClockOffset { shard, behind_micros, within_micros };
        outcome.clocks = vec![clock(1, -12_340, 260), clock(2, 40, 90)];
        let line = "clocks: off by 12.3 ms at most, known within 0.3 ms; times are by that of Redis";
        assert!(table(&outcome).contains(line) && markdown(&outcome).contains(line), "{}", table(&outcome));
        assert!(html(&outcome).contains("<dt>clocks<dd>off by 12.3 ms at most"));
    }

    #[test]
    fn failed_assertions_make_the_exit_code() {
        let mut outcome = outcome();
        assert_eq!(outcome.exit_code(), 1);
        outcome.account.lost = 0;
        outcome.judge();
        assert_eq!(outcome.exit_code(), 1);
        check(&mut outcome, &[]);
        assert_eq!(outcome.exit_code(), 0);
    }
}
