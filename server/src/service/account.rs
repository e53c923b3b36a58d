//! REGISTER and CHANGE_PASSWORD.

use super::{Caller, change_failure, storage_failure};
use crate::auth::origin::Origin;
use crate::auth::password::{Asker, Purpose};
use crate::context::Core;
use crate::session::Session;
use crate::storage::Account;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{Reply, Secret, Who};
use std::time::Instant;

const MS_PER_DAY: i64 = 24 * 60 * 60 * 1_000;

pub async fn register(core: &Core, caller: &Caller, name: String, password: Secret) -> Result<Reply, Failure> {
    let origin = Origin::of(caller.address);
    core.registrations
        .take(origin, Instant::now())
        .map_err(|wait| Failure::new(Errno::TooFast, "too many registrations from this address").retry_after(wait))?;
    let result = try_register(core, origin, name, password).await;
    if result.as_ref().is_err_and(|failure| failure.errno == Errno::Unavailable) {
        core.registrations.give_back(origin, Instant::now());
    }
    result
}

async fn try_register(core: &Core, origin: Origin, name: String, password: Secret) -> Result<Reply, Failure> {
    let taken = || Failure::new(Errno::Exists, "this name is taken");
    // Looking first spares the hash where the answer is no; the insert decides.
    if core.storage.account(&Who::Name(name.clone())).await.map_err(storage_failure)?.is_some() {
        return Err(taken());
    }
    let hash = core.passwords.hash(Asker { origin, purpose: Purpose::Register }, password).await?;
    let id = core.storage.register(&name, &hash).await.map_err(storage_failure)?;
    Ok(Reply::Register { id: id.ok_or_else(taken)? })
}

pub async fn change_password(
    core: &Core,
    caller: &Caller,
    session: &Session,
    old: Secret,
    new: Secret,
) -> Result<Reply, Failure> {
    let (user, origin) = (session.user, Origin::of(caller.address));
    let (who, asker) = (Who::Id(user), Asker { origin, purpose: Purpose::Login });
    let mut attempt = core.login_limit.attempt(origin, &who, Instant::now())?;
    attempt.at(Some(user), Instant::now())?;
    let account = core.storage.account(&who).await.map_err(storage_failure)?.ok_or(Errno::WrongCredentials)?;
    if !core.passwords.verify(asker, &old, Some(&account.password)).await? {
        attempt.failed();
        return Err(Errno::WrongCredentials.into());
    }
    attempt.succeeded(&who, user, Instant::now());
    let hash = core.passwords.hash(asker, new).await?;
    let by = session.actor(&core.key);
    let changed = core.storage.change_password(&by, &account.password, &hash).await;
    let changed = changed.map_err(|error| change_failure(session, error))?;
    let token_generation = changed.ok_or(Errno::WrongCredentials)?;
    let token = token(core, &Account { password: hash, token_generation, ..account });
    Ok(Reply::ChangePassword { token })
}

/// A token for the account as it is now.
pub fn token(core: &Core, account: &Account) -> String {
    let expires_at = crate::clock::now_ms() + i64::from(core.config.password.token_days) * MS_PER_DAY;
    crate::auth::token::issue(&core.token_key, account.id, account.token_generation, &account.password, expires_at).0
}
