//! What came of a run: figures, histograms and a verdict, as stored in JSON. Outcomes of several processes can be added
//! exactly.

use crate::analyse::assert::{Assertion, Checked};
use crate::dialect::profile::{Profile, Request};
use crate::measure::ledger::Account;
use crate::measure::machine::{Machine, command_line};
use crate::measure::recorder::{Latencies, Path, Second};
use crate::plan::{DialectName, Plan};
use judge::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the JSON; readers refuse others.
pub const FORMAT: u32 = 1;
/// The generator's own lateness (p99, µs) beyond which a result says that it is limited by the generator.
const LATE_MICROS: u64 = 20_000;
/// A part of the intended rate below which the same is said.
const RATE_KEPT: f64 = 0.95;
/// A shard that began measuring later than this after the time set for all, in milliseconds, says so.
const START_LATE_MS: i64 = 500;
/// The exit code of failed assertions: the same as of an invalid run.
const ASSERTION_FAILED: u8 = 1;

/// What a run used of the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    pub cores: u32,
    /// CPU seconds of the generator in the measured time.
    pub generator_cpu_s: f64,
    /// CPU seconds of the embedded nodes in the measured time.
    pub nodes_cpu_s: f64,
    /// Resident memory of this process at the end of the measured time, in bytes; with the embedded nodes, unless they
    /// are apart.
    pub memory_bytes: u64,
    /// The same before the first user connected.
    pub memory_before_bytes: u64,
    /// Resident memory of embedded nodes that are apart, at the same times.
    pub nodes_memory_bytes: u64,
    pub nodes_memory_before_bytes: u64,
    /// The cluster was started for this run.
    pub embedded: bool,
    /// Its nodes had a process of their own.
    pub nodes_apart: bool,
}

impl Resources {
    /// How much the generator's memory grew by each of `users`, in bytes; the embedded nodes' part included, unless
    /// they are apart.
    pub fn memory_per_user(&self, users: u32) -> u64 {
        self.memory_bytes.saturating_sub(self.memory_before_bytes) / u64::from(users.max(1))
    }

    /// How much the memory of embedded nodes that are apart grew by each of `users`, in bytes.
    pub fn nodes_memory_per_user(&self, users: u32) -> u64 {
        self.nodes_memory_bytes.saturating_sub(self.nodes_memory_before_bytes) / u64::from(users.max(1))
    }
}

/// Which messages a classic server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    pub chat: bool,
    pub group_chat: bool,
}

impl Answers {
    pub fn of(profile: &Profile) -> Answers {
        Answers { chat: profile.answers(Request::Chat), group_chat: profile.answers(Request::GroupChat) }
    }
}

/// The result of a run, or of several merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub format: u32,
    pub verdict: Verdict,
    /// Why the verdict is not `valid`, in words.
    pub reasons: Vec<String>,
    /// What a reader should know, although it makes nothing invalid.
    pub warnings: Vec<String>,
    pub plan: Plan,
    /// The command line.
    pub command: String,
    /// When the run began, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// When the measured time began, in milliseconds since the Unix epoch; 0 if it never did.
    #[serde(default)]
    pub measured_from_ms: i64,
    /// The measured time in seconds; shorter than planned where the run was interrupted.
    pub measured_s: f64,
    /// How long it took after the measured time until everything was accounted for, in seconds.
    pub drained_s: f64,
    /// Messages were still arriving as the time allowed for that was over.
    #[serde(default)]
    pub cut_short: bool,
    pub interrupted: bool,
    /// Users online as the measured time began, and when all was over.
    pub online: (u32, u32),
    pub logins: u64,
    pub account: Account,
    pub paths: BTreeMap<Path, Latencies>,
    /// By kind.
    pub errors: BTreeMap<String, u64>,
    /// Deliveries that were made only with a last login, after everything else: the server had stored them.
    #[serde(default)]
    pub stored: u64,
    /// Messages that were due while their sender had no connection.
    pub unsent: u64,
    pub seconds: Vec<Second>,
    pub nodes: Vec<String>,
    /// Where the server is a classic one. Older results lack it.
    #[serde(default)]
    pub answers: Option<Answers>,
    pub resources: Resources,
    /// Processes whose results are in here.
    pub shards: u32,
    /// What this was measured with: one machine for each process.
    #[serde(default)]
    pub machines: Vec<Machine>,
    /// What the driver made of the run by itself: goose's thresholds.
    #[serde(default)]
    pub thresholds: Vec<Checked>,
    /// What came of the assertions that were made on this, thresholds first.
    #[serde(default)]
    pub assertions: Vec<Checked>,
}

impl Outcome {
    /// The outcome of a run that never began measuring.
    pub fn failed(plan: Plan, reason: String) -> Outcome {
        Outcome {
            format: FORMAT,
            verdict: Verdict::Invalid,
            reasons: vec![reason],
            warnings: Vec::new(),
            plan,
            command: command_line(),
            started_ms: 0,
            measured_from_ms: 0,
            measured_s: 0.0,
            drained_s: 0.0,
            cut_short: false,
            interrupted: false,
            online: (0, 0),
            logins: 0,
            account: Account::default(),
            paths: BTreeMap::new(),
            errors: BTreeMap::new(),
            stored: 0,
            unsent: 0,
            seconds: Vec::new(),
            nodes: Vec::new(),
            answers: None,
            resources: Resources::default(),
            shards: 1,
            machines: vec![Machine::this()],
            thresholds: Vec::new(),
            assertions: Vec::new(),
        }
    }

    /// Looks whether the assertions hold, and keeps what came of it.
    pub fn check(&mut self, assertions: &[Assertion]) {
        let checked = assertions.iter().map(|assertion| assertion.check(self));
        self.assertions = self.thresholds.iter().cloned().chain(checked).collect();
    }

    /// The assertions that do not hold.
    pub fn failed_assertions(&self) -> usize {
        self.assertions.iter().filter(|checked| !checked.holds).count()
    }

    /// The exit code: what the verdict says, or that an assertion failed.
    pub fn exit_code(&self) -> u8 {
        if self.failed_assertions() == 0 { self.verdict.exit_code() } else { ASSERTION_FAILED }
    }

    /// Reads a stored outcome.
    pub fn load(path: &std::path::Path) -> Result<Outcome, String> {
        let failed = |reason: String| format!("{}: {reason}", path.display());
        let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let outcome: Outcome = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        match outcome.format {
            FORMAT => Ok(outcome),
            other => Err(failed(format!("format {other}, this reads {FORMAT}"))),
        }
    }

    /// Messages sent per second of the measured time.
    pub fn sent_per_second(&self) -> f64 {
        per_second(self.account.sent, self.measured_s)
    }

    pub fn delivered_per_second(&self) -> f64 {
        per_second(self.account.delivered, self.measured_s)
    }

    /// Whether the plan has anybody send anything.
    fn sends(&self) -> bool {
        self.plan.window.is_some() || self.plan.rate > 0.0
    }

    /// Makes the verdict, the reasons and the warnings of the figures.
    pub fn judge(&mut self) {
        self.reasons.clear();
        self.warnings.clear();
        let account = &self.account;
        let stored = self.is_promised();
        let wrong = [
            (if stored { account.lost } else { 0 }, "lost"),
            (if stored { account.duplicated } else { 0 }, "duplicated"),
            (if stored { account.reordered } else { 0 }, "reordered"),
            (account.phantom, "never sent but received"),
            (account.misdelivered, "delivered to the wrong user"),
            (account.altered, "altered"),
        ];
        let wrong = wrong.iter().filter(|(count, _)| *count > 0);
        self.reasons.extend(wrong.map(|(count, what)| format!("{count} messages {what}")));
        if self.logins == 0 {
            self.reasons.push("nobody could log in".into());
        } else if account.expected > 0 && account.delivered == 0 {
            self.reasons.push("nothing was received".into());
        } else if account.sent == 0 && self.sends() && self.has_senders() {
            self.reasons.push("nothing was sent".into());
        }
        let broken = !self.reasons.is_empty();
        if self.cut_short {
            let late = account.unknown;
            self.reasons.push(format!(
                "{late} messages were still on their way after {:.0} s: allow more with --drain",
                self.drained_s
            ));
        } else if account.unknown > 0 {
            self.reasons.push(format!("{} messages were neither acknowledged nor delivered", account.unknown));
        }
        if self.online.1 < self.online.0 {
            self.reasons.push(format!(
                "{} of {} users could not come back",
                self.online.0 - self.online.1,
                self.online.0
            ));
        }
        self.verdict = match (broken, self.reasons.is_empty()) {
            (true, _) => Verdict::Invalid,
            (false, false) => Verdict::Unknown,
            (false, true) => Verdict::Valid,
        };
        self.warn();
    }

    /// The generator was so late itself that its figures say more of it than of the server.
    pub fn is_limited_by_generator(&self) -> bool {
        self.paths.get(&Path::Lateness).is_some_and(|late| late.percentile(99.0) > LATE_MICROS)
    }

    /// As much was sent as the open model asks for; a closed model has no rate to keep.
    pub fn is_rate_kept(&self) -> bool {
        let asked_for = self.plan.rate * self.measured_s.min(self.plan.duration_s);
        // As many as this may be missing by chance, since arrivals are random.
        let chance = 3.0 * asked_for.sqrt();
        let due = (self.account.sent + self.unsent) as f64;
        self.plan.window.is_some() || !self.has_senders() || due >= RATE_KEPT * asked_for - chance
    }

    /// Messages per second whose time came, whether their sender could send them or not.
    fn due_per_second(&self) -> f64 {
        self.sent_per_second() + per_second(self.unsent, self.measured_s)
    }

    /// Whether delivery, once and in order, was promised: the framed dialect's `qos` 0 trades that for speed.
    fn is_promised(&self) -> bool {
        self.plan.qos > 0 || self.plan.dialect != DialectName::Framed
    }

    /// Which messages the server answers, where it is a classic one.
    pub fn answers(&self) -> Option<Answers> {
        let by_dialect = match self.plan.dialect {
            DialectName::Framed => None,
            DialectName::Bare => Some(Answers { chat: false, group_chat: false }),
            DialectName::Checked => Some(Answers { chat: true, group_chat: false }),
        };
        by_dialect.map(|usual| self.answers.unwrap_or(usual))
    }

    /// Whether anybody in the plan writes to anybody.
    pub fn has_senders(&self) -> bool {
        let world = crate::world::World::new(&self.plan);
        !world.streams.is_empty()
    }

    fn warn(&mut self) {
        let mut warnings = Vec::new();
        if let Some(start) = self.plan.start_at_ms
            && self.measured_from_ms > start + START_LATE_MS
        {
            let late = (self.measured_from_ms - start) as f64 / 1e3;
            warnings.push(format!("measuring began {late:.1} s after the time set: allow more for logging in"));
        }
        if self.online.0 < self.plan.users {
            warnings.push(format!("{} of {} users were online at the start", self.online.0, self.plan.users));
        }
        let Account { lost, duplicated, reordered, .. } = self.account;
        if !self.is_promised() && lost + duplicated + reordered > 0 {
            warnings.push(format!(
                "{lost} lost, {duplicated} duplicated, {reordered} reordered, which qos 0 allows; assert 'lost == 0' to forbid it"
            ));
        }
        if self.stored > 0 {
            warnings.push(format!(
                "{} deliveries were made only with a last login: the server had stored them, and did not push them",
                self.stored
            ));
        }
        if self.unsent > 0 {
            warnings
                .push(format!("{} messages were due while their sender had no connection, and not sent", self.unsent));
        }
        if self.is_limited_by_generator() {
            let late = self.paths.get(&Path::Lateness).map_or(0, |late| late.percentile(99.0));
            warnings.push(format!(
                "limited by the generator: 1 % of the messages were sent {} ms or more late; use a lower rate or more processes",
                late / 1_000
            ));
        }
        if !self.is_rate_kept() {
            let kept = self.due_per_second();
            warnings.push(format!("the rate was {kept:.0}/s where {:.0}/s was asked for", self.plan.rate));
        }
        match (self.resources.embedded, self.resources.nodes_apart) {
            (true, false) => {
                warnings.push("the cluster ran inside this process: generator and nodes shared its CPU".into())
            }
            (true, true) => warnings.push("the cluster ran on this machine: generator and nodes shared its CPU".into()),
            (false, _) => {}
        }
        if self.interrupted {
            warnings.push(format!("interrupted after {:.1} s", self.measured_s));
        }
        self.warnings = warnings;
    }
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_a_promise_is_invalid_and_qos_0_promises_less() {
        let check = |qos: u8, change: fn(&mut Account), expected: Verdict| {
            let mut outcome = Outcome::failed(Plan { qos, ..Plan::default() }, String::new());
            outcome.logins = 400;
            outcome.online = (400, 400);
            outcome.account = Account { sent: 10, expected: 10, delivered: 9, ..Account::default() };
            change(&mut outcome.account);
            outcome.judge();
            assert_eq!(outcome.verdict, expected, "{qos}: {:?}", outcome.account);
            let shown =
                outcome.account.violations() == 0 || !(outcome.reasons.is_empty() && outcome.warnings.is_empty());
            assert!(shown, "{outcome:?}");
        };
        check(1, |_| {}, Verdict::Valid);
        check(1, |account| account.lost = 1, Verdict::Invalid);
        check(1, |account| account.reordered = 1, Verdict::Invalid);
        check(1, |account| account.unknown = 1, Verdict::Unknown);
        check(1, |account| account.delivered = 0, Verdict::Invalid);
        check(0, |account| account.reordered = 1, Verdict::Valid);
        check(0, |account| account.lost = 1, Verdict::Valid);
        check(0, |account| account.misdelivered = 1, Verdict::Invalid);
        check(0, |account| account.delivered = 0, Verdict::Invalid);
    }
}
