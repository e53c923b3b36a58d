//! The driver for those who want goose's dashboard, thresholds, baselines and reports: every sender is a goose user.
//!
//! goose waits for a transaction to end, and so is closed by nature. Here a transaction is what is *due* of one sender
//! by our own schedule, and the answers are our users' business: the model stays open. What was measured meanwhile is
//! handed to goose one by one, for its displays; the recorder stays the truth. goose's users take their places before
//! the measured time and are stopped after it, so that nothing of goose's own starting and stopping falls into it. What
//! was measured before, as logins, is shown once it has begun, since goose forgets what it has counted when all its
//! users are there.

mod console;
mod flags;
mod sender;

pub use flags::check as check_flags;

use crate::measure::Checked;
use crate::user::Run;
use goose::client::GooseClientBuilder;
use goose::config::GooseConfiguration;
use goose::goose::{GooseUser, Transaction};
use goose::prelude::*;
use goose::threshold::ThresholdResult;
use goose::{GooseAttack, trigger_killswitch};
use sender::{LONGEST_WAIT, Sender};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::SetOnce;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

/// For all of goose's users to take their places.
const START_PATIENCE: Duration = Duration::from_secs(15);
/// For goose to stop its users and write its reports.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// Why goose did not run, or not to its end. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("goose: {0}")]
    Goose(String),
    #[error("goose: {flag} {reason}")]
    Flag { flag: &'static str, reason: &'static str },
    #[error("goose: nobody sends anything in this mix")]
    Nothing,
    #[error("goose: it ended before anything was sent")]
    Early,
    #[error("goose: its users were not ready within {} s", START_PATIENCE.as_secs())]
    Unready,
    #[error("goose: it did not end within {} s", STOP_PATIENCE.as_secs())]
    Endless,
}

impl From<GooseError> for Error {
    fn from(error: GooseError) -> Error {
        match error {
            // What goose displays of it says neither which flag nor why.
            GooseError::InvalidOption { value, detail, .. } if detail.contains(&value) => Error::Goose(detail),
            GooseError::InvalidOption { value, detail, .. } => Error::Goose(format!("{detail} ({value})")),
            GooseError::Io(source) => Error::Goose(source.to_string()),
            other => Error::Goose(other.to_string()),
        }
    }
}

impl From<JoinError> for Error {
    fn from(error: JoinError) -> Error {
        Error::Goose(error.to_string())
    }
}

/// What all of goose's users share.
struct Crew {
    run: Arc<Run>,
    senders: Vec<Sender>,
    /// Senders that have their goose user.
    taken: AtomicUsize,
    complete: SetOnce<()>,
    measured: SetOnce<Span>,
    /// The measured time is over once any of them stops.
    cut: CancellationToken,
}

/// The measured time, in microseconds of the run's clock.
#[derive(Clone, Copy, Debug)]
struct Span {
    begin: u64,
    end: u64,
}

/// goose at work.
pub struct Attack {
    crew: Arc<Crew>,
    task: JoinHandle<Result<Vec<ThresholdResult>, GooseError>>,
}

impl Attack {
    /// Starts goose and waits until all its users are in their places. `cut` is cancelled when it begins to end,
    /// whatever ends it.
    pub async fn start(run: &Arc<Run>, cut: CancellationToken) -> Result<Attack, Error> {
        let senders = sender::all(run);
        if senders.is_empty() {
            return Err(Error::Nothing);
        }
        let configuration = flags::configuration(senders.len(), &run.plan.goose)?;
        let (taken, complete, measured) = (AtomicUsize::new(0), SetOnce::new(), SetOnce::new());
        let crew = Arc::new(Crew { run: run.clone(), senders, taken, complete, measured, cut: cut.clone() });
        let attack = attack(configuration, crew.scenario())?;
        console::listen();
        let interrupts = console::Interrupts::kept();
        // Not `cut`, which others cancel too.
        let ended = CancellationToken::new();
        let guards = (cut.drop_guard(), ended.clone().drop_guard());
        let task = tokio::spawn(async move {
            let _guards = guards;
            match attack.execute().await {
                Ok(metrics) => Ok(metrics.thresholds),
                Err(GooseError::ThresholdsFailed { metrics, .. }) => Ok(metrics.0.thresholds),
                Err(error) => Err(error),
            }
        });
        let all_ready = async {
            crew.complete.wait().await;
            console::HOLDING.notified().await;
        };
        let ready = tokio::select! {
            () = all_ready => Ok(()),
            () = ended.cancelled() => Err(Error::Early),
            () = tokio::time::sleep(START_PATIENCE) => Err(Error::Unready),
        };
        interrupts.give_back();
        match ready {
            Ok(()) => Ok(Attack { crew, task }),
            Err(Error::Early) => {
                // Its own error tells more.
                task.await??;
                Err(Error::Early)
            }
            Err(error) => {
                trigger_killswitch("its users are not ready");
                Err(error)
            }
        }
    }

    /// Lets the measured time begin.
    pub fn begin(&self, begin: u64, end: u64) {
        // It begins once.
        let _ = self.crew.measured.set(Span { begin, end });
    }

    /// Ends goose, unless it has, and lets it write its reports; answers with what it makes of its thresholds.
    pub async fn stop(self) -> Result<Vec<Checked>, Error> {
        trigger_killswitch("the measured time is over");
        let thresholds = tokio::time::timeout(STOP_PATIENCE, self.task).await.map_err(|_| Error::Endless)???;
        let checked = thresholds.into_iter().map(|threshold| Checked {
            assertion: format!("goose: {}", threshold.rule),
            figure: threshold.observed,
            holds: threshold.passed,
        });
        Ok(checked.collect())
    }
}

fn attack(configuration: GooseConfiguration, scenario: Scenario) -> Result<GooseAttack, Error> {
    Ok(GooseAttack::initialize_with_config(configuration)?
        // One client without cookies for all; else each user costs 100 KB for HTTP that it never speaks.
        .set_client_builder_without_cookies(GooseClientBuilder::new().without_cookies())?
        .register_scenario(scenario))
}

impl Crew {
    /// What each goose user does.
    fn scenario(self: &Arc<Self>) -> Scenario {
        let (places, turns, ends) = (self.clone(), self.clone(), self.clone());
        let place = Transaction::new(Arc::new(move |user: &mut GooseUser| {
            places.take_place(user);
            Box::pin(ready(Ok(())))
        }));
        let turn = Transaction::new(Arc::new(move |user: &mut GooseUser| {
            let crew = turns.clone();
            Box::pin(async move { turn(user, &crew).await })
        }));
        let end = Transaction::new(Arc::new(move |user: &mut GooseUser| {
            let crew = ends.clone();
            crew.cut.cancel();
            Box::pin(async move { sender::show(user, &crew.run, 0).await })
        }));
        Scenario::new("chat")
            .register_transaction(place.set_name("take a place").set_on_start())
            .register_transaction(turn.set_name("send what is due"))
            .register_transaction(end.set_name("show the rest").set_on_stop())
    }

    fn take_place(&self, user: &mut GooseUser) {
        let place = self.taken.fetch_add(1, Ordering::Relaxed);
        // As many users as senders were asked for.
        if let Some(sender) = self.senders.get(place) {
            user.set_session_data(sender.clone());
        }
        if place + 1 == self.senders.len() {
            let _ = self.complete.set(());
        }
    }
}

/// One transaction: waits until something is due, sends all that is, and shows what was measured. It never lasts longer
/// than a bounded wait, since goose stops a user only between two.
async fn turn(user: &mut GooseUser, crew: &Crew) -> TransactionResult {
    let Some(&measured) = crew.measured.get() else {
        let _ = tokio::time::timeout(LONGEST_WAIT, crew.measured.wait()).await;
        return Ok(());
    };
    let Some(sender) = user.get_session_data_mut::<Sender>() else { return Ok(()) };
    tokio::time::sleep(sender.wait(&crew.run, measured)).await;
    let Some(sender) = user.get_session_data_mut::<Sender>() else { return Ok(()) };
    let unsent = sender.send_due(&crew.run, measured);
    sender::show(user, &crew.run, unsent).await
}
