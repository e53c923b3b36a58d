//! Removes what is kept no longer now, a part at a time: the caller asks on until it is done.

use super::call::Call;
use super::refusal::Refusal;
use crate::config::retention::Retention as Settings;
use crate::context::Context;
use crate::retention::{self, Shortener, Swept, Walk};
use crate::storage::Moment;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// How long one part takes, about: an answer comes before anybody loses patience, and is worth its price.
const PART: Duration = Duration::from_secs(2);
/// The oldest age, in days, as in the settings.
const MOST_DAYS: u32 = 36_500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    /// In the place of the settings of the same names, for this once.
    days: Option<u32>,
    messages: Option<u64>,
    unreceived_days: Option<u32>,
    /// As the part before said.
    #[serde(default)]
    after: String,
}

/// What came of one part.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Pruned {
    /// Conversations that were shortened, and the messages that are gone.
    pub conversations: u64,
    pub messages: u64,
    /// Those of them that some member had not received.
    pub unreceived: u64,
    /// Ask again with this as `after`; absent where all has been looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

pub async fn prune(context: &Context, call: &Call) -> Result<Pruned, Refusal> {
    let ask: Ask = call.asks()?;
    let settings = settings(context, &ask)?;
    if !context.lease.is_held() {
        let error = "this node has no lease for now: ask again, or ask another";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error));
    }
    if ask.after.is_empty() {
        let Settings { days, messages, unreceived_days, .. } = settings;
        tracing::info!(from = %call.address, days, messages, unreceived_days, "an operator prunes");
    }
    let now = Moment { time: context.environment.now_ms(), age: context.storage.age().await? };
    let rule = retention::as_of(now, &settings);
    let shortener =
        Shortener { storage: context.storage.clone(), lease: context.lease.clone(), metrics: context.metrics.clone() };
    let mut walk = Walk::after(&ask.after);
    shortener.go_on(&rule, &mut walk, Some(Instant::now() + PART)).await?;
    let next = (!walk.is_done).then(|| walk.after.to_string());
    let Swept { conversations, messages, unreceived } = walk.swept;
    tracing::info!(from = %call.address, conversations, messages, unreceived, next, "an operator has pruned");
    Ok(Pruned { conversations, messages, unreceived, next })
}

fn settings(context: &Context, ask: &Ask) -> Result<Settings, Refusal> {
    let mut settings = context.config.get().retention.clone();
    if let Some(days) = [ask.days, ask.unreceived_days].into_iter().flatten().find(|days| *days > MOST_DAYS) {
        return Err(Refusal::malformed(format!("{days} days: expected a number from 0 to {MOST_DAYS}")));
    }
    settings.days = ask.days.unwrap_or(settings.days);
    settings.messages = ask.messages.unwrap_or(settings.messages);
    settings.unreceived_days = ask.unreceived_days.unwrap_or(settings.unreceived_days);
    if !settings.is_on() {
        let error = "nothing is too old: give days or messages, or set retention.days or retention.messages";
        return Err(Refusal::conflict(error));
    }
    Ok(settings)
}
