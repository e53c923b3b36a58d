//! One sender: its streams, when the next message is due, and whose latencies it shows to goose.

use super::Span;
use crate::driver::schedule::Schedule;
use crate::measure::LatencyKind;
use crate::user::Run;
use goose::goose::GooseUser;
use goose::prelude::TransactionResult;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The longest that a turn waits for something to be due. Shorter, and thousands of users do little but wake up;
/// longer, and goose stops late and shows old figures.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// What the names of goose's rows begin with; a path's name follows.
const METHOD: &str = "CHAT";
/// The purposes of chance from which each sender has its own.
const CHANCE: u64 = 1_000;

/// One sender.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    user: u32,
    /// Upper ends of the streams' shares of this sender's messages.
    streams: Vec<(f64, u32)>,
    schedule: Schedule,
    /// None before the measured time.
    due: Option<u64>,
    random: fastrand::Rng,
    /// Users whose latencies this one shows: itself, and its part of those who never send.
    shows: Vec<u32>,
}

/// All who send, each with a schedule of its own; together they keep the plan's rate.
pub(super) fn all(run: &Run) -> Vec<Sender> {
    let mut rates: BTreeMap<u32, Vec<(f64, u32)>> = BTreeMap::new();
    let mut before = 0.0;
    for (upto, streams) in crate::driver::shares(&run.casts) {
        let each = (upto - before) * run.plan.rate / streams.len() as f64;
        for stream in streams {
            rates.entry(run.world.streams[stream as usize].sender).or_default().push((each, stream));
        }
        before = upto;
    }
    let silent = (0..run.plan.users).filter(|user| !rates.contains_key(user)).collect::<Vec<_>>();
    let sender = |(user, mut streams): (u32, Vec<(f64, u32)>)| {
        let mut sum = 0.0;
        for (rate, _) in &mut streams {
            sum += *rate;
            *rate = sum;
        }
        let random = run.random(CHANCE + u64::from(user));
        let schedule = Schedule::new(sum, run.plan.arrivals, 0, random.clone())?;
        Some(Sender { user, streams, schedule, due: None, random, shows: vec![user] })
    };
    let mut senders: Vec<Sender> = rates.into_iter().filter_map(sender).collect();
    for (sender, user) in (0..senders.len()).cycle().zip(silent) {
        senders[sender].shows.push(user);
    }
    senders
}

impl Sender {
    /// How long until something is due, or until it should be looked again whether the run still goes on.
    pub(super) fn wait(&mut self, run: &Run, measured: Span) -> Duration {
        let due = *self.due.get_or_insert_with(|| {
            self.schedule.join(measured.begin);
            self.schedule.next_due()
        });
        if run.is_stopping() || due >= measured.end {
            return LONGEST_WAIT;
        }
        Duration::from_micros(due.saturating_sub(run.clock.now())).min(LONGEST_WAIT)
    }

    /// Sends everything that is due; returns how many had no connection.
    pub(super) fn send_due(&mut self, run: &Run, measured: Span) -> u32 {
        let (mut unsent, mut sent) = (0, Vec::new());
        let user = &run.users[self.user as usize];
        while let Some(due) = self.due.filter(|due| *due <= run.clock.now() && *due < measured.end)
            && !run.is_stopping()
        {
            let chance = self.random.f64() * self.streams.last().map_or(0.0, |last| last.0);
            let stream = self.streams.iter().find(|(end, _)| chance < *end).or(self.streams.last());
            let Some((_, stream)) = stream else { break };
            if run.send(*stream, due) {
                sent.push(due);
            } else {
                unsent += 1;
            }
            self.due = Some(self.schedule.next_due());
        }
        user.flush();
        for due in sent {
            run.recorder.record(LatencyKind::Lateness, run.clock.now().saturating_sub(due));
        }
        run.unsent.fetch_add(u64::from(unsent), Ordering::Relaxed);
        unsent
    }
}

/// Shows goose what was measured since the last time, and how much could not be sent.
pub(super) async fn show(user: &mut GooseUser, run: &Run, unsent: u32) -> TransactionResult {
    let Some(sender) = user.get_session_data::<Sender>() else { return Ok(()) };
    let measured: Vec<_> = sender.shows.iter().flat_map(|user| run.users[*user as usize].take_mirrored()).collect();
    for (kind, micros) in measured {
        user.record_custom_request_duration(
            METHOD,
            <&str>::from(kind),
            Duration::from_micros(micros),
            true,
            None,
            None,
        )
        .await?;
    }
    for _ in 0..unsent {
        let error = Some("no connection");
        user.record_custom_request_duration(METHOD, "send", Duration::ZERO, false, None, error).await?;
    }
    Ok(())
}
