//! Sends this node's clients elsewhere and ends it, as SIGTERM does.

use super::call::Call;
use super::refusal::Refusal;
use crate::context::Context;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    /// The node that is meant: an address may lead elsewhere than one thinks.
    node: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Draining {
    pub node: String,
    /// Users that were online here.
    pub sessions: usize,
    /// For how long clients are given time to move, in seconds.
    pub grace_s: u64,
}

/// The drain begins once the answer is out.
pub fn drain(context: &Context, call: &Call) -> Result<Draining, Refusal> {
    let node = context.key.id.to_string();
    let Ask { node: meant } = call.asks()?;
    if meant != node {
        return Err(Refusal::conflict(format!("this is {node}: ask the admin port of {meant}")));
    }
    tracing::info!(from = %call.address, "an operator drains this node");
    let (sessions, grace_s) = (context.registry.users().len(), context.config.get().limits.drain_s);
    Ok(Draining { node, sessions, grace_s })
}
