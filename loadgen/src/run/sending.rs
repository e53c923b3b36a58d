//! Whoever sends in the measured time, from taking their places until the last has stopped.

use super::error::{Error, Failure};
#[cfg(feature = "goose")]
use crate::driver::goose::Attack;
use crate::driver::native;
use crate::measure::Checked;
use crate::user::Run;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(super) enum Sending {
    /// Each answer makes room for the next message.
    Refills(u32),
    Native(Option<JoinHandle<()>>),
    #[cfg(feature = "goose")]
    Goose(Attack),
}

impl Sending {
    /// Makes all ready, without anything being sent. One who can end early cancels `cut` then.
    #[cfg_attr(not(feature = "goose"), expect(unused_variables))]
    pub(super) async fn prepare(run: &Arc<Run>, cut: &CancellationToken) -> Result<Sending, Failure> {
        #[cfg(feature = "goose")]
        if run.plan.driver == crate::plan::Driver::Goose {
            return Ok(Sending::Goose(Attack::start(run, cut.clone()).await?));
        }
        Ok(run.plan.window.map_or(Sending::Native(None), Sending::Refills))
    }

    /// Lets the measured time begin; it ends at `end`. Both in microseconds of the run's clock.
    pub(super) fn begin(&mut self, run: &Arc<Run>, begin: u64, end: u64) -> Result<(), Failure> {
        match self {
            Sending::Refills(window) => native::fill(run, *window),
            Sending::Native(thread) => *thread = Some(native::start(run, begin, end).map_err(Error::Thread)?),
            #[cfg(feature = "goose")]
            Sending::Goose(attack) => attack.begin(begin, end),
        }
        Ok(())
    }

    /// Waits until nobody sends any more, which is soon once the run is stopping; answers with what the driver itself
    /// makes of the run.
    pub(super) async fn stopped(self, run: &Run) -> Vec<Checked> {
        match self {
            Sending::Refills(_) | Sending::Native(None) => {}
            Sending::Native(Some(thread)) => {
                if !matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(()))) {
                    run.error("the driver did not stop as it should");
                }
            }
            #[cfg(feature = "goose")]
            Sending::Goose(attack) => return attack.stop().await.unwrap_or_else(|error| vec![ended_badly(&error)]),
        }
        Vec::new()
    }
}

/// What goose was asked for, a report say, may be missing, although all was measured.
#[cfg(feature = "goose")]
fn ended_badly(error: &crate::driver::goose::Error) -> Checked {
    Checked { assertion: "goose ends without an error".into(), figure: error.to_string(), holds: false }
}
