//! What came of a run: figures, histograms and a verdict, as stored in JSON. Outcomes of several processes can be added
//! exactly.

mod judge;

use crate::dialect::profile::{Profile, Request};
use crate::measure::ledger::Account;
use crate::measure::{ClockOffset, Intervention, Latencies, LatencyKind, Machine, Second, asked_for, command_line};
use crate::plan::{DialectName, Plan};
use ::judge::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The version of the JSON; readers refuse others.
pub const FORMAT: u32 = 1;
/// The generator's own lateness (p99, µs) beyond which a result says that it is limited by the generator.
const LATE_MICROS: u64 = 20_000;
/// A part of the intended rate below which the same is said.
const RATE_KEPT: f64 = 0.95;
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

/// What came of an assertion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// As it was given.
    pub assertion: String,
    /// What was measured, for a person.
    pub figure: String,
    pub holds: bool,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.holds { "holds" } else { "failed" };
        write!(f, "assertion {sign}: {} (it is {})", self.assertion, self.figure)
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
    #[serde(rename = "paths")]
    pub latencies: BTreeMap<LatencyKind, Latencies>,
    /// By kind.
    pub errors: BTreeMap<String, u64>,
    /// Deliveries that were made only with a last login, after everything else: the server had stored them.
    #[serde(default)]
    pub stored: u64,
    /// Messages that were due while their sender had no connection.
    pub unsent: u64,
    pub seconds: Vec<Second>,
    /// What somebody did to the run while it was measured, in the order done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<Intervention>,
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
    /// How the clock of each machine stood to the one that the times in here are by; empty where each process went by
    /// its own machine's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<ClockOffset>,
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
            latencies: BTreeMap::new(),
            errors: BTreeMap::new(),
            stored: 0,
            unsent: 0,
            seconds: Vec::new(),
            interventions: Vec::new(),
            nodes: Vec::new(),
            answers: None,
            resources: Resources::default(),
            shards: 1,
            machines: vec![Machine::this()],
            clocks: Vec::new(),
            thresholds: Vec::new(),
            assertions: Vec::new(),
        }
    }

    /// Tells all times by a clock that several machines have in common, and not by this machine's any more.
    pub fn go_by(&mut self, clock: ClockOffset) {
        for at_ms in [&mut self.started_ms, &mut self.measured_from_ms] {
            if *at_ms > 0 {
                *at_ms = clock.common_ms(*at_ms);
            }
        }
        self.clocks = vec![clock];
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

    /// Messages per second that reached those they are for within the measured time; one to a group counts by the part
    /// of its members that it has reached. What arrives only afterwards does not count.
    pub fn carried_per_second(&self) -> f64 {
        let delivered = self.seconds.iter().fold(0, |sum: u64, second| sum.saturating_add(second.delivered));
        let each = self.account.expected as f64 / self.account.sent.max(1) as f64;
        if each > 0.0 { per_second(delivered, self.measured_s) / each } else { 0.0 }
    }

    /// Whether the plan has anybody send anything.
    pub(super) fn sends(&self) -> bool {
        self.plan.window.is_some() || self.plan.rate > 0.0
    }

    /// The generator was so late itself that its figures say more of it than of the server.
    pub fn is_limited_by_generator(&self) -> bool {
        self.latencies.get(&LatencyKind::Lateness).is_some_and(|late| late.percentile(99.0) > LATE_MICROS)
    }

    /// As much was sent as the open model asks for; a closed model has no rate to keep.
    pub fn is_rate_kept(&self) -> bool {
        let asked_for = self.asked_for();
        // As many as this may be missing by chance, since arrivals are random.
        let chance = 3.0 * asked_for.sqrt();
        let due = self.account.sent.saturating_add(self.unsent) as f64;
        // Of several processes nobody knows whose rate was changed.
        let is_unknown = self.shards > 1 && !self.interventions.is_empty();
        is_unknown || self.plan.window.is_some() || !self.has_senders() || due >= RATE_KEPT * asked_for - chance
    }

    /// Messages that were to be sent in the measured time, through all that was done to the rate.
    fn asked_for(&self) -> f64 {
        asked_for(self.plan.rate, self.measured_s.min(self.plan.duration_s), &self.interventions)
    }

    /// Messages per second that were asked for, on the whole.
    pub(super) fn asked_per_second(&self) -> f64 {
        let measured_s = self.measured_s.min(self.plan.duration_s);
        if measured_s > 0.0 { self.asked_for() / measured_s } else { 0.0 }
    }

    /// Messages per second whose time came, whether their sender could send them or not.
    pub(super) fn due_per_second(&self) -> f64 {
        self.sent_per_second() + per_second(self.unsent, self.measured_s)
    }

    /// Whether delivery, once and in order, was promised: the framed dialect's `qos` 0 trades that for speed.
    pub(super) fn is_promised(&self) -> bool {
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
        !self.plan.lay_out().world.streams.is_empty()
    }
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}
