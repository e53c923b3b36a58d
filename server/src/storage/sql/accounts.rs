//! Users, their passwords, and what ends their tokens.

use super::lists::list;
use super::session_rows::{confirm, make_missing_rows};
use super::storage::{SqlStorage, idempotent, read, transaction};
use crate::storage::engine::{Connection, Fault, Result, Value};
use crate::storage::{self, Account, Accounts, Actor, Error};
use async_trait::async_trait;
use chat_environment::Entropy;
use chat_protocol::conversation::UserId;
use chat_protocol::message::Who;
use std::collections::HashMap;

/// Users in one statement.
const USERS_AT_ONCE: usize = 256;

const TOKEN_KEY: &str = "token_key";

#[async_trait]
impl Accounts for SqlStorage {
    async fn token_key(&self) -> storage::Result<[u8; 32]> {
        idempotent!(self, conn => token_key(conn, &*self.environment.entropy))
    }

    async fn register(&self, name: &str, password_hash: &str) -> storage::Result<Option<UserId>> {
        transaction!(self, conn => register(conn, name, password_hash))
    }

    async fn account(&self, who: &Who) -> storage::Result<Option<Account>> {
        let mut found = self.accounts(std::slice::from_ref(who)).await?;
        Ok(found.pop().flatten())
    }

    async fn accounts(&self, who: &[Who]) -> storage::Result<Vec<Option<Account>>> {
        read!(self, conn => fresh_accounts(conn, who))
    }

    async fn change_password(&self, by: &Actor, old_hash: &str, new_hash: &str) -> storage::Result<Option<u64>> {
        transaction!(self, conn => change_password(conn, by, old_hash, new_hash), in doubt Option::is_none)
    }

    async fn revoke_tokens(&self, by: &Actor) -> storage::Result<u64> {
        transaction!(self, conn => revoke_tokens(conn, by))
    }
}

/// Reads the cluster's secret; the first to ask makes it.
async fn token_key(conn: &mut dyn Connection, entropy: &dyn Entropy) -> Result<[u8; 32]> {
    const READ: &str = "SELECT value FROM meta WHERE name = ?";
    if let Some(row) = conn.first(READ, &[TOKEN_KEY.into()]).await? {
        return Ok(key_from_hex(&row.text(0)?)?);
    }
    let mut key = [0_u8; 32];
    entropy.fill(&mut key).map_err(|none| Error::Unusable(none.to_string()))?;
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let sql = conn.dialect().insert_ignore("INTO meta (name, value) VALUES (?, ?)");
    conn.run(&sql, &[TOKEN_KEY.into(), hex.into()]).await?;
    // Another node may have been first: what the table holds is the key.
    let row = conn.first(READ, &[TOKEN_KEY.into()]).await?;
    let row = row.ok_or_else(|| Error::Unavailable("the token key was removed while it was made".into()))?;
    Ok(key_from_hex(&row.text(0)?)?)
}

fn key_from_hex(hex: &str) -> std::result::Result<[u8; 32], Error> {
    let bytes: Option<Vec<u8>> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Error::Unusable(format!("the row {TOKEN_KEY:?} of table meta is not 64 hexadecimal digits")))
}

async fn register(conn: &mut dyn Connection, name: &str, password_hash: &str) -> Result<Option<UserId>> {
    const ADD_USER: &str = "INSERT INTO user (name, password, state) VALUES (?, ?, 'offline')";
    let id = match conn.run(ADD_USER, &[name.into(), password_hash.into()]).await {
        Ok(done) => done.last_id,
        Err(Fault::Duplicate) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    conn.run("INSERT INTO session (userid) VALUES (?)", &[id.into()]).await?;
    Ok(Some(id.unsigned_abs()))
}

/// A login begins with this, so what its greeting reads afterwards is as fresh.
async fn fresh_accounts(conn: &mut dyn Connection, who: &[Who]) -> Result<Vec<Option<Account>>> {
    conn.freshen().await?;
    accounts(conn, who).await
}

async fn accounts(conn: &mut dyn Connection, who: &[Who]) -> Result<Vec<Option<Account>>> {
    let (mut ids, mut names) = (Vec::new(), Vec::new());
    for one in who {
        match one {
            Who::Id(id) => ids.push(Value::from(*id)),
            Who::Name(name) => names.push(Value::from(name.as_str())),
        }
    }
    let mut found = Vec::with_capacity(who.len());
    read_accounts(conn, "u.id", &ids, &mut found).await?;
    read_accounts(conn, "u.name", &names, &mut found).await?;
    let by_id: HashMap<UserId, &Account> = found.iter().map(|account| (account.id, account)).collect();
    // A database may take names for equal that differ, be it by white space at their end; they are compared exactly.
    let by_name: HashMap<&str, &Account> = found.iter().map(|account| (&*account.name, account)).collect();
    let account = |who: &Who| match who {
        Who::Id(id) => by_id.get(id).copied().cloned(),
        Who::Name(name) => by_name.get(name.as_str()).copied().cloned(),
    };
    Ok(who.iter().map(account).collect())
}

async fn read_accounts(
    conn: &mut dyn Connection,
    column: &str,
    keys: &[Value],
    found: &mut Vec<Account>,
) -> Result<()> {
    for keys in keys.chunks(USERS_AT_ONCE) {
        let (placeholders, values) = list(keys);
        let sql = format!(
            "SELECT u.id, u.name, u.password, COALESCE(s.token_generation, 0), COALESCE(s.disabled, 0) \
             FROM user u LEFT JOIN session s ON s.userid = u.id WHERE {column} IN {placeholders}"
        );
        for row in conn.rows(&sql, &values).await? {
            found.push(Account {
                id: row.number(0)?,
                name: row.text(1)?.to_string(),
                password: row.text(2)?.to_string(),
                token_generation: row.number(3)?,
                is_disabled: row.flag(4)?,
            });
        }
    }
    Ok(())
}

async fn change_password(conn: &mut dyn Connection, by: &Actor, old_hash: &str, new_hash: &str) -> Result<Option<u64>> {
    let user = by.user;
    let Some(generation) = lock_generation(conn, user).await? else { return Ok(None) };
    confirm(conn, by).await?;
    const REPLACE: &str = "UPDATE user SET password = ? WHERE id = ? AND password = ?";
    let done = conn.run(REPLACE, &[new_hash.into(), user.into(), old_hash.into()]).await?;
    if done.affected == 0 {
        return Ok(None);
    }
    set_generation(conn, user, generation + 1).await.map(Some)
}

async fn revoke_tokens(conn: &mut dyn Connection, by: &Actor) -> Result<u64> {
    let user = by.user;
    let Some(generation) = lock_generation(conn, user).await? else { return Ok(0) };
    confirm(conn, by).await?;
    set_generation(conn, user, generation + 1).await
}

/// `None`: no such user.
async fn lock_generation(conn: &mut dyn Connection, user: UserId) -> Result<Option<u64>> {
    let lock = format!("SELECT token_generation FROM session WHERE userid = ?{}", conn.dialect().for_update);
    if let Some(row) = conn.first(&lock, &[user.into()]).await? {
        return Ok(Some(row.number(0)?));
    }
    make_missing_rows(conn, &[user]).await?;
    let row = conn.first(&lock, &[user.into()]).await?;
    Ok(row.map(|row| row.number(0)).transpose()?)
}

pub async fn set_generation(conn: &mut dyn Connection, user: UserId, generation: u64) -> Result<u64> {
    const SET: &str = "UPDATE session SET token_generation = ? WHERE userid = ?";
    conn.run(SET, &[generation.into(), user.into()]).await?;
    Ok(generation)
}
