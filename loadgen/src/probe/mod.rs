//! Finds out what an unknown server speaks, by trying, so that none gets worse by it.
//!
//! The order is that of caution. What most servers of the family speak comes first, in messages that none of them
//! stumbles over (`words`); other framings, which those could take for garbage, only where nothing was answered to
//! that. Each try has its own connection and a bounded time, and none begins once the server has stopped listening.
//! Users who are made for it have names that say so; they stay on the server.

mod acquaint;
mod found;
mod line;
mod search;
mod show;
mod words;

pub use found::{Found, Step, Sureness};
pub use show::{json, text};

use crate::link::Dialer;
use crate::plan::Plan;
use line::{Heard, Line, NoLine, Strange};
use serde::Serialize;
use std::time::{Duration, Instant};

/// What the names of all users that a probe makes begin with.
pub const PREFIX: &str = "lgprobe";

/// What to look at, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port`.
    pub target: String,
    /// For connecting, and for each answer.
    pub patience: Duration,
    pub tls: bool,
}

/// One try and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Try {
    pub what: String,
    pub result: String,
    pub milliseconds: u64,
}

/// What a probe came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub target: String,
    /// What the server speaks, as far as it was found.
    pub found: Option<Found>,
    /// Why nothing was found.
    pub failure: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
    pub tries: Vec<Try>,
    /// The users that were made.
    pub users: Vec<String>,
}

/// Asks the server. `told` hears of each try as it ends.
pub async fn probe(settings: &Settings, told: &mut dyn FnMut(&Try)) -> Report {
    let mut report = Report { target: settings.target.clone(), ..Report::default() };
    let plan = Plan { tls: settings.tls, ..Plan::default() };
    let dialer = match Dialer::new(&plan, std::slice::from_ref(&settings.target)).await {
        Ok(dialer) => dialer,
        Err(error) => {
            report.failure = Some(error.to_string());
            return report;
        }
    };
    let mut probe = Probe { settings, dialer, report, told };
    match search::search(&mut probe).await {
        Ok(answered) => {
            let found = acquaint::get_to_know(&mut probe, answered).await;
            probe.report.found = Some(found);
        }
        Err(Nothing { failure, advice }) => (probe.report.failure, probe.report.advice) = (Some(failure), advice),
    }
    probe.report
}

/// Why there is nothing to get to know.
struct Nothing {
    failure: String,
    advice: Option<String>,
}

struct Probe<'a> {
    settings: &'a Settings,
    dialer: Dialer,
    report: Report,
    told: &'a mut dyn FnMut(&Try),
}

impl Probe<'_> {
    async fn open(&self, framing: crate::dialect::profile::Framing) -> Result<Line, NoLine> {
        Line::open(&self.dialer, framing, self.settings.patience).await
    }

    fn note(&mut self, what: String, result: String, begun: Instant) {
        let tried = Try { what, result, milliseconds: begun.elapsed().as_millis() as u64 };
        (self.told)(&tried);
        self.report.tries.push(tried);
    }

    /// Notes who was made.
    fn made(&mut self, name: &str) {
        self.report.users.push(name.to_owned());
    }
}

impl std::fmt::Display for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Heard::Object(object) => f.write_str(&crate::dialect::shorten(&object.to_string())),
            Heard::Silence => f.write_str("no answer"),
            Heard::Closed => f.write_str("closed without an answer"),
            Heard::Broken(why) => write!(f, "the connection broke: {why}"),
            Heard::Strange(Strange::Tls) => f.write_str("TLS"),
            Heard::Strange(Strange::Http) => f.write_str("HTTP"),
            Heard::Strange(Strange::Other(shown)) => write!(f, "something else: {shown}"),
        }
    }
}

impl std::fmt::Display for NoLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoLine::Refused => f.write_str("connection refused"),
            NoLine::TimedOut => f.write_str("no answer to connecting"),
            NoLine::Failed(why) => f.write_str(why),
        }
    }
}
