//! The driver for those who want goose's dashboard, thresholds, baselines and reports: every sender is a goose user.
//!
//! goose waits for a transaction to end, and so is closed by nature. Here a transaction is what is *due* of one sender by our own
//! schedule, and the answers are our users' business: the model stays open. What was measured meanwhile is handed to goose one by
//! one, for its displays; the recorder stays the truth. A transaction never lasts longer than a bounded wait, since goose
//! stops a user only between two.

use super::schedule::Schedule;
use crate::recorder::Path;
use crate::run::Run;
use goose::GooseAttack;
use goose::client::GooseClientBuilder;
use goose::config::GooseConfiguration;
use goose::goose::GooseUser;
use goose::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The longest that a transaction waits for something to be due.
const LONGEST_WAIT: Duration = Duration::from_millis(250);
/// goose wants a URL; nothing is ever asked of this one.
const HOST: &str = "http://chat.invalid";
/// What goose's rows begin with.
const METHOD: &str = "CHAT";

/// Why goose did not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("goose: {0}")]
    Goose(String),
    #[error("goose: nobody sends anything in this mix")]
    Nothing,
}

/// One sender: its streams with their rates, and when the next message is due.
#[derive(Clone, Debug)]
struct Part {
    sender: u32,
    /// Upper ends of the streams' shares of this sender's messages.
    streams: Vec<(f64, u32)>,
    schedule: Schedule,
    due: u64,
    random: fastrand::Rng,
}

/// Checks goose's own flags. Errors: what goose says of them.
pub fn check_flags(flags: &[String]) -> Result<(), Error> {
    configuration(1, Duration::from_secs(1), flags).map(|_| ())
}

/// Drives the measured time from `begin` to `end` (microseconds of the run's clock); returns when goose has ended, which is
/// earlier where a threshold or Ctrl-C stopped it. The text is a failed threshold, if one failed.
pub async fn drive(run: Arc<Run>, begin: u64, end: u64, flags: &[String]) -> Result<Option<String>, Error> {
    let parts = parts(&run);
    if parts.is_empty() {
        return Err(Error::Nothing);
    }
    let length = Duration::from_micros(end.saturating_sub(begin));
    let configuration = configuration(parts.len(), length, flags)?;
    let failed = |error: GooseError| Error::Goose(error.to_string());
    let clock = run.clock;
    let (parts, next) = (Arc::new(parts), Arc::new(AtomicUsize::new(0)));
    let start = Transaction::new(Arc::new(move |user: &mut GooseUser| {
        let mut part = parts[next.fetch_add(1, Ordering::Relaxed) % parts.len()].clone();
        // goose starts users one after the other; nothing was due of one who was not there.
        part.schedule.begin(clock.now());
        part.due = part.schedule.next_due();
        user.set_session_data(part);
        Box::pin(std::future::ready(Ok(())))
    }));
    let turn = {
        let run = run.clone();
        Transaction::new(Arc::new(move |user: &mut GooseUser| {
            let run = run.clone();
            Box::pin(async move { turn(user, &run).await })
        }))
    };
    let scenario = Scenario::new("chat")
        .register_transaction(start.set_name("start").set_on_start())
        .register_transaction(turn.set_name("send what is due"));
    let attack = GooseAttack::initialize_with_config(configuration)
        .map_err(failed)?
        // One client without cookies for all; else each user costs 100 KB for HTTP that it never speaks.
        .set_client_builder_without_cookies(GooseClientBuilder::new().without_cookies())
        .map_err(failed)?
        .register_scenario(scenario);
    match attack.execute().await {
        Ok(_) => Ok(None),
        Err(error @ GooseError::ThresholdsFailed { .. }) => Ok(Some(error.to_string())),
        Err(error) => Err(failed(error)),
    }
}

fn configuration(users: usize, length: Duration, flags: &[String]) -> Result<GooseConfiguration, Error> {
    let (users, seconds) = (users.to_string(), format!("{}s", length.as_secs().max(1)));
    // Users all start in the first second. Samples of the start are kept, and its console tables are not wanted beside ours.
    let ours = [
        "--host",
        HOST,
        "--users",
        &users,
        "--increase-rate",
        &users,
        "--run-time",
        &seconds,
        "--no-reset-metrics",
        "--no-telnet",
        "--no-print-metrics",
        "--no-transaction-metrics",
        "--no-scenario-metrics",
        "-q",
    ];
    let all: Vec<&str> = ours.into_iter().chain(flags.iter().map(String::as_str)).collect();
    GooseConfiguration::parse_args_default(&all).map_err(|error| Error::Goose(error.to_string()))
}

/// The senders with their streams' rates, each schedule independent; together they are the plan's rate.
fn parts(run: &Run) -> Vec<Part> {
    let mut rates: BTreeMap<u32, Vec<(f64, u32)>> = BTreeMap::new();
    let mut before = 0.0;
    for (upto, streams) in super::lanes(&run.world, &run.plan.shares()) {
        let each = (upto - before) * run.plan.rate / streams.len() as f64;
        for stream in streams {
            rates.entry(run.world.streams[stream as usize].sender).or_default().push((each, stream));
        }
        before = upto;
    }
    let part = |(sender, mut streams): (u32, Vec<(f64, u32)>)| {
        let mut sum = 0.0;
        for (rate, _) in &mut streams {
            sum += *rate;
            *rate = sum;
        }
        let random = run.random(1_000 + u64::from(sender));
        let schedule = Schedule::new(sum, run.plan.arrivals, 0, random.clone())?;
        Some(Part { sender, streams, schedule, due: 0, random })
    };
    rates.into_iter().filter_map(part).collect()
}

async fn turn(user: &mut GooseUser, run: &Run) -> TransactionResult {
    let Some(part) = user.get_session_data_mut::<Part>() else { return Ok(()) };
    let wait = Duration::from_micros(part.due.saturating_sub(run.clock.now()));
    if run.is_stopping() || wait > LONGEST_WAIT {
        tokio::time::sleep(LONGEST_WAIT.min(wait)).await;
    } else {
        tokio::time::sleep(wait).await;
    }
    let Some(part) = user.get_session_data_mut::<Part>() else { return Ok(()) };
    let (sender, unsent) = (part.sender, part.send_due(run));
    for (path, micros) in run.users[sender as usize].take_mirrored() {
        user.record_custom_request_duration(METHOD, path.name(), Duration::from_micros(micros), true, None, None)
            .await?;
    }
    for _ in 0..unsent {
        let error = Some("no connection");
        user.record_custom_request_duration(METHOD, "send", Duration::ZERO, false, None, error).await?;
    }
    Ok(())
}

impl Part {
    /// Sends everything that is due; returns how many had no connection.
    fn send_due(&mut self, run: &Run) -> u32 {
        let (mut unsent, mut sent) = (0, Vec::new());
        let user = &run.users[self.sender as usize];
        while self.due <= run.clock.now() && !run.is_stopping() {
            let chance = self.random.f64() * self.streams.last().map_or(0.0, |last| last.0);
            let stream = self.streams.iter().find(|(end, _)| chance < *end).or(self.streams.last());
            let Some((_, stream)) = stream else { break };
            if user.send(run, *stream, self.due) {
                sent.push(self.due);
            } else {
                unsent += 1;
            }
            self.due = self.schedule.next_due();
        }
        user.flush();
        for due in sent {
            run.recorder.record(Path::Lateness, run.clock.now().saturating_sub(due));
        }
        run.unsent.fetch_add(u64::from(unsent), Ordering::Relaxed);
        unsent
    }
}
