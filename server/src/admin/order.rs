//! Orders about one user: kick, disable, enable, end tokens; and what becomes of the session.

use super::call::Call;
use super::refusal::Refusal;
use super::whom::Whom;
use crate::bus::Item;
use crate::cluster::EndReason;
use crate::context::Context;
use crate::storage::{Account, EndAsked, Holder, Order, Release};
use chat_protocol::conversation::UserId;
use serde::{Deserialize, Serialize};
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long an answer waits for a session to end; longer than its node takes to read the order in the database.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks whether it has.
const POLL: Duration = Duration::from_millis(200);

/// What came of an order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Done {
    pub id: UserId,
    pub name: String,
    pub session: Fate,
    /// Where it is or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// What became of the user's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// There was none.
    None,
    Ended,
    /// Its node has not answered. It ends the session as soon as it reaches the database; until it does, others call it
    /// gone within 8 s.
    Ending,
    /// The order leaves sessions alone.
    Untouched,
}

/// An order that says no more than whom it is about.
pub async fn give(context: &Context, call: &Call, order: Order) -> Result<Done, Refusal> {
    let account = call.asks::<Whom>()?.account(context).await?;
    carry_out(context, call, account, &order).await
}

pub(super) async fn carry_out(
    context: &Context,
    call: &Call,
    account: Account,
    order: &Order,
) -> Result<Done, Refusal> {
    let (from, user) = (call.address, account.id);
    tracing::info!(%from, order = name(order), user, name = account.name, "an operator gives an order");
    let gone = || Refusal::not_found(format!("no user has the number {user}"));
    let ordered = context.storage.order(user, order).await?.ok_or_else(gone)?;
    let (session, node) = match (order.ends_session(), ordered.ends) {
        (None, _) => (Fate::Untouched, None),
        (Some(_), None) => (Fate::None, None),
        (Some(reason), Some(holder)) => {
            ask_for_end(context, user, &holder, reason);
            let fate = if has_ended(context, user, &holder).await { Fate::Ended } else { Fate::Ending };
            (fate, Some(holder.node.id.to_string()))
        }
    };
    tracing::info!(%from, order = name(order), user, ?session, node, "the order has been carried out");
    Ok(Done { id: user, name: account.name, session, node })
}

/// Its node would read it in the database with its next renewal; this is faster.
fn ask_for_end(context: &Context, user: UserId, holder: &Holder, reason: EndReason) {
    let epoch = holder.epoch;
    if holder.node == context.key {
        context.endings.give_up(EndAsked { release: Release { user, epoch }, reason }, Instant::now());
    } else {
        context.bus.send(&holder.node.id, Item::End { user, epoch, reason });
    }
}

async fn has_ended(context: &Context, user: UserId, holder: &Holder) -> bool {
    let give_up_at = Instant::now() + PATIENCE;
    let waiting = context.endings.yielded.wait_for(user);
    loop {
        let mut yielded = pin!(waiting.notified());
        yielded.as_mut().enable();
        match context.storage.holder(user).await {
            Ok(now) if now.as_ref() != Some(holder) => return true,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, user, "cannot tell whether a session has ended"),
        }
        if Instant::now() >= give_up_at {
            return false;
        }
        let _ = timeout(POLL, yielded).await;
    }
}

/// For the log.
fn name(order: &Order) -> &'static str {
    match order {
        Order::Kick => "kick",
        Order::Disable => "disable",
        Order::Enable => "enable",
        Order::ResetPassword { .. } => "reset-password",
        Order::EndTokens => "end-tokens",
    }
}
