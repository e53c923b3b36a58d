//! REGISTER and CHANGE_PASSWORD.

use super::Caller;
use crate::auth::origin::Origin;
use crate::auth::password::{Asker, Purpose};
use crate::context::Context;
use crate::session::Session;
use crate::session::failure::{change_failure, storage_failure};
use crate::storage::Account;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{NewToken, Registered, Reply, Secret, Who};
use tokio::time::Instant;

const MS_PER_DAY: i64 = 24 * 60 * 60 * 1_000;

pub async fn register(context: &Context, caller: &Caller, name: String, password: Secret) -> Result<Reply, Failure> {
    let origin = Origin::of(caller.address);
    context
        .registrations
        .take(origin, Instant::now())
        .map_err(|wait| Failure::new(Errno::TooFast, "too many registrations from this address").retry_after(wait))?;
    let result = try_register(context, origin, name, password).await;
    if result.as_ref().is_err_and(|failure| failure.errno == Errno::Unavailable) {
        context.registrations.give_back(origin, Instant::now());
    }
    result
}

async fn try_register(context: &Context, origin: Origin, name: String, password: Secret) -> Result<Reply, Failure> {
    let taken = || Failure::new(Errno::Exists, "this name is taken");
    // Looking first spares the hash where the answer is no; the insert decides.
    if context.storage.account(&Who::Name(name.clone())).await.map_err(storage_failure)?.is_some() {
        return Err(taken());
    }
    let hash = context.passwords.hash(Asker { origin, purpose: Purpose::Register }, password).await?;
    let id = context.storage.register(&name, &hash).await.map_err(storage_failure)?;
    Ok(Reply::Register(Registered { id: id.ok_or_else(taken)? }))
}

pub async fn change_password(
    context: &Context,
    caller: &Caller,
    session: &Session,
    old: Secret,
    new: Secret,
) -> Result<Reply, Failure> {
    let (user, origin) = (session.user, Origin::of(caller.address));
    let (who, asker) = (Who::Id(user), Asker { origin, purpose: Purpose::Login });
    let mut attempt = context.login_limit.attempt(origin, &who, Instant::now())?;
    attempt.at(Some(user), Instant::now())?;
    let account = context.storage.account(&who).await.map_err(storage_failure)?.ok_or(Errno::WrongCredentials)?;
    if !context.passwords.verify(asker, &old, Some(&account.password)).await? {
        attempt.failed();
        return Err(Errno::WrongCredentials.into());
    }
    attempt.succeeded(&who, user, Instant::now());
    let hash = context.passwords.hash(asker, new).await?;
    let by = session.actor(&context.key);
    let changed = context.storage.change_password(&by, &account.password, &hash).await;
    let changed = changed.map_err(|error| change_failure(session, error))?;
    let token_generation = changed.ok_or(Errno::WrongCredentials)?;
    let token = token(context, &Account { password: hash, token_generation, ..account });
    Ok(Reply::ChangePassword(NewToken { token }))
}

/// A token for the account as it is now.
pub fn token(context: &Context, account: &Account) -> String {
    let expires_at = context.environment.now_ms() + i64::from(context.config.get().password.token_days) * MS_PER_DAY;
    crate::auth::token::issue(&context.token_key, account.id, account.token_generation, &account.password, expires_at).0
}
