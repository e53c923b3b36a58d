//! Gives a user another password: one that the operator chose, or one by chance.

use super::call::Call;
use super::order::{Done, carry_out};
use super::refusal::Refusal;
use super::whom::Whom;
use crate::auth::origin::Origin;
use crate::auth::password::{Asker, Purpose};
use crate::context::Context;
use crate::storage::Order;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chat_protocol::conversation::UserId;
use chat_protocol::message::Secret;
use hyper::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use std::ops::RangeInclusive;

/// Of a password by chance: 16 characters.
const CHANCE_BYTES: usize = 12;
/// As in REGISTER.
const CHARACTERS: RangeInclusive<usize> = 1..=128;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    id: Option<UserId>,
    name: Option<String>,
    /// One by chance where it is left out; null is a mistake.
    #[serde(default, deserialize_with = "text")]
    password: Option<String>,
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub struct Reset {
    #[serde(flatten)]
    pub done: Done,
    /// The one by chance: told this once, and kept nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

pub async fn reset(context: &Context, call: &Call) -> Result<Reset, Refusal> {
    let Ask { id, name, password } = call.asks()?;
    let (chosen, made) = match password {
        Some(chosen) if CHARACTERS.contains(&chosen.chars().count()) => (chosen, None),
        Some(_) => return Err(Refusal::malformed("password: expected 1 to 128 characters")),
        None => {
            let made = by_chance(context)?;
            (made.clone(), Some(made))
        }
    };
    let account = Whom { id, name }.account(context).await?;
    let asker = Asker { origin: Origin::of(call.address), purpose: Purpose::Login };
    let hash = context.passwords.hash(asker, Secret(chosen)).await?;
    let done = carry_out(context, call, account, &Order::ResetPassword { hash }).await?;
    Ok(Reset { done, password: made })
}

fn by_chance(context: &Context) -> Result<String, Refusal> {
    let mut bytes = [0; CHANCE_BYTES];
    let filled = context.environment.entropy.fill(&mut bytes);
    filled.map_err(|error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
