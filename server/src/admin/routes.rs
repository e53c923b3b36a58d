//! Which path is which operation.

use super::answer::Answer;
use super::call::Call;
use super::refusal::Refusal;
use super::{API, conversations, drain, nodes, order, password, prune, sessions, user};
use crate::context::Context;
use crate::storage::Order;
use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue};
use serde::Serialize;

/// Operations that change nothing.
const READS: [&str; 4] = ["nodes", "sessions", "user", "conversations"];
/// Operations that do.
const ACTIONS: [&str; 7] = ["kick", "disable", "enable", "reset-password", "end-tokens", "drain", "prune"];

pub(super) async fn answer(context: &Context, call: &Call) -> Answer {
    let name = call.path.strip_prefix(API).unwrap_or_default();
    let allowed = match name {
        read if READS.contains(&read) => "GET",
        action if ACTIONS.contains(&action) => "POST",
        _ => {
            let all = [READS.as_slice(), &ACTIONS].concat().join(", ");
            return Refusal::not_found(format!("no operation {name:?}: there are {all}")).into();
        }
    };
    if call.method.as_str() != allowed {
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed}"));
        return Answer::from(refusal).with(ALLOW, HeaderValue::from_static(allowed));
    }
    context.metrics.admin_operations_total.inc();
    tracing::info!(from = %call.address, operation = name, "an operator asks");
    operate(context, name, call).await.unwrap_or_else(|refusal| {
        tracing::info!(from = %call.address, operation = name, error = refusal.error, "an operator is refused");
        refusal.into()
    })
}

async fn operate(context: &Context, name: &str, call: &Call) -> Result<Answer, Refusal> {
    Ok(match name {
        "nodes" => told(&nodes::list(context).await?),
        "sessions" => told(&sessions::list(context, call).await?),
        "user" => told(&user::show(context, call).await?),
        "conversations" => told(&conversations::list(context, call).await?),
        "kick" => told(&order::give(context, call, Order::Kick).await?),
        "disable" => told(&order::give(context, call, Order::Disable).await?),
        "enable" => told(&order::give(context, call, Order::Enable).await?),
        "end-tokens" => told(&order::give(context, call, Order::EndTokens).await?),
        "reset-password" => told(&password::reset(context, call).await?),
        "prune" => told(&prune::prune(context, call).await?),
        "drain" => told(&drain::drain(context, call)?).and_drains(),
        _ => return Err(Refusal::not_found("no such operation")),
    })
}

fn told(body: &impl Serialize) -> Answer {
    Answer::json(StatusCode::OK, body)
}
