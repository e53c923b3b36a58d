//! Waiting for something to become true, instead of sleeping and hoping.

use anyhow::{Result, bail};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Time between two probes: short beside anything a test waits for, long enough to leave the machine to the others.
const INTERVAL: Duration = Duration::from_millis(10);

/// Probes until there is an answer, and returns it.
///
/// # Panics
///
/// If there is none within `budget`, also where a probe hangs; the message says `claim`, so word it as what should have
/// become true.
pub async fn eventually<T>(budget: Duration, claim: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    within(budget, claim, probe).await.unwrap_or_else(|error| panic!("{error}"))
}

/// The same, for what may also not become true.
///
/// # Errors
/// If there is no answer within `budget`.
pub async fn within<T>(budget: Duration, claim: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + budget;
    loop {
        match timeout_at(deadline, probe()).await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) if Instant::now() < deadline => sleep(INTERVAL).await,
            _ => bail!("not within {budget:?}: {claim}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn answer_is_returned_once_there_is_one() {
        let mut probes = 0;
        let answer = eventually(Duration::from_secs(1), "three probes were made", async || {
            probes += 1;
            (probes == 3).then_some("done")
        });
        assert_eq!(answer.await, "done");
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "not within 1s: pigs fly")]
    async fn claim_is_said_when_the_budget_is_over() {
        eventually(Duration::from_secs(1), "pigs fly", async || None::<()>).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "not within 1s: the probe returns")]
    async fn hanging_probe_does_not_outlast_the_budget() {
        eventually(Duration::from_secs(1), "the probe returns", async || pending::<Option<()>>().await).await;
    }
}
