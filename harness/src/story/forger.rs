//! Somebody who claims to be somebody else (G8).

use crate::users::{Record, User};
use anyhow::{Context, Result};
use chat_client::RawConnection;
use judge::history::Event;
use serde_json::{Value, json};
use std::net::SocketAddr;
use uuid::Uuid;

/// The first of `users` logs in and writes to the third in the second's name; whether it was done is written down.
///
/// # Errors
/// If there are not three, or the node does not answer.
pub(super) async fn somebody_forges(record: &Record, address: SocketAddr, users: &[User]) -> Result<()> {
    let [forger, victim, reader, ..] = users else { anyhow::bail!("a forgery takes three") };
    let mut connection = forger.raw_login(address).await?;
    let forged = json!({"msgid": 6, "mid": Uuid::now_v7(), "id": victim.id, "toid": reader.id, "msg": "forged"});
    let reply = ask(&mut connection, forged, 12).await?;
    record.note(Event::Claim { user: forger.id, claimed: victim.id, done: reply["errno"] == 0 });
    ask(&mut connection, json!({"msgid": 3}), 11).await?;
    Ok(())
}

async fn ask(connection: &mut RawConnection, request: Value, reply: u64) -> Result<Value> {
    connection.send(&request).await?;
    loop {
        let frame = connection.next().await.with_context(|| format!("no reply to {request}"))?;
        if frame["msgid"] == reply {
            return Ok(frame);
        }
    }
}
