//! LOGIN and LOGOUT: one session a user, across all nodes.
//!
//! The session row decides. A login on this node first waits for, or ends, the session that stands here; one held by
//! another live node is asked for over the bus and in its row, so that a takeover works with and without Redis.

use super::{Answer, Caller, SessionChange, account, change_failure, events, roster, storage_failure};
use crate::auth::origin::Origin;
use crate::auth::password::{Asker, Purpose};
use crate::bus::Item;
use crate::cluster::NodeId;
use crate::config::limits::{LEASE_RENEWAL, LEASE_WATCH};
use crate::context::Core;
use crate::delivery::commit::unavailable;
use crate::failpoint::{self, Failpoint};
use crate::session::Session;
use crate::session::outbound::Outbound;
use crate::storage::{Account, Claim, Claimant, Claimed, Release, Waiting};
use chat_protocol::MAX_NODE_FRAME_BYTES;
use chat_protocol::conversation::{Log, UserId};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{ChatMessage, Login, LoginAck, Proof, Reply, Roster, Secret, Who};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest a takeover waits for the other session to end; then errno 11.
const TAKEOVER_WAIT: Duration = Duration::from_secs(4);
/// Between two looks whether the other node has given the session up.
const TAKEOVER_POLL: Duration = Duration::from_millis(250);
/// How long the end of a session waits for the kernel of a client that cannot acknowledge: longer than a delayed
/// acknowledgement (200 ms) and a slow network, shorter than anybody takes to log in again.
const LAST_ARRIVALS: Duration = Duration::from_millis(500);
/// Waiting messages are counted up to here.
const MAX_COUNTED: u32 = 10_000;
/// A node with less than this left has missed renewals: it is not known to be alive.
const KNOWN_ALIVE: Duration = Duration::from_secs(LEASE_WATCH.as_secs() - 3 * LEASE_RENEWAL.as_secs());
/// Messages, and their text, that travel inside the LOGIN_ACK of a client that cannot acknowledge; the rest follows it.
const INLINE_MESSAGES: u32 = 1_000;
const INLINE_BYTES: usize = MAX_NODE_FRAME_BYTES / 16;

pub async fn login(core: &Arc<Core>, caller: &Caller, login: Login) -> Answer {
    match try_login(core, caller, login).await {
        Ok((ack, session)) => {
            Answer { result: Ok(Reply::Login(Box::new(ack))), session: SessionChange::Began(session) }
        }
        Err(failure) => Err(failure).into(),
    }
}

pub async fn logout(core: &Arc<Core>, caller: &Caller, session: &Arc<Session>, revoke: bool) -> Answer {
    if revoke && let Err(error) = core.storage.revoke_tokens(&session.actor(&core.key)).await {
        return Err(change_failure(session, error)).into();
    }
    leave(core, &caller.outbound, session).await;
    Answer { result: Ok(Reply::Logout), session: SessionChange::Ended }
}

/// Ends the session of a connection that is still served. The kernel of a client that cannot acknowledge is given
/// [`LAST_ARRIVALS`] for what was pushed and is on its way.
pub async fn leave(core: &Arc<Core>, outbound: &Outbound, session: &Arc<Session>) {
    if !session.acknowledges {
        session.leave();
        // What has not arrived by then comes again.
        let _ = tokio::time::timeout(LAST_ARRIVALS, outbound.all_arrived()).await;
    }
    core.end_session(session).await;
}

async fn try_login(core: &Arc<Core>, caller: &Caller, login: Login) -> Result<(LoginAck, Arc<Session>), Failure> {
    if caller.session.is_some() {
        return Err(Failure::new(Errno::LoggedIn, "already logged in on this connection"));
    }
    if !core.lease.is_held() {
        return Err(unavailable());
    }
    let account = authenticate(core, caller, &login).await?;
    let _turn = core.registry.login_turn(account.id).await;
    make_room(core, caller, account.id, login.takeover).await?;
    let epoch = claim(core, caller, account.id, login.takeover).await?;

    let name: Arc<str> = account.name.as_str().into();
    let outbound = caller.outbound.clone();
    let session = Arc::new(Session::new(account.id, name, epoch, login.events, login.acknowledges, outbound));
    core.registry.insert(session.clone());
    core.metrics.sessions.inc();
    core.metrics.logins_total.inc();
    core.tell_peers(|| Item::Online { users: vec![account.id] });
    match greet(core, &session, &account).await {
        Ok(ack) => {
            events::presence(core, &session, true);
            Ok((ack, session))
        }
        Err(failure) => {
            core.end_session(&session).await;
            Err(failure)
        }
    }
}

/// The account, if the proof is good.
async fn authenticate(core: &Core, caller: &Caller, login: &Login) -> Result<Account, Failure> {
    let origin = Origin::of(caller.address);
    match &login.proof {
        Proof::Password(password) => by_password(core, origin, &login.who, password).await,
        Proof::Token(token) => by_token(core, origin, &login.who, &token.0).await,
    }
}

/// Every failure costs the same work and gives the same answer; only one that was a wrong password counts as a guess.
async fn by_password(core: &Core, origin: Origin, called: &Who, password: &Secret) -> Result<Account, Failure> {
    let mut attempt = core.login_limit.attempt(origin, called, Instant::now())?;
    let account = core.storage.account(called).await.map_err(storage_failure)?;
    attempt.at(account.as_ref().map(|account| account.id), Instant::now())?;
    let asker = Asker { origin, purpose: Purpose::Login };
    let stored = account.as_ref().map(|account| account.password.as_str());
    let good = core.passwords.verify(asker, password, stored).await?;
    match account.filter(|_| good) {
        Some(account) => {
            attempt.succeeded(called, account.id, Instant::now());
            Ok(account)
        }
        None => {
            attempt.failed();
            Err(Errno::WrongCredentials.into())
        }
    }
}

/// A token cannot be guessed, and costs no hash: nobody's guesses stand in its way.
async fn by_token(core: &Core, origin: Origin, called: &Who, token: &str) -> Result<Account, Failure> {
    let account = core.storage.account(called).await.map_err(storage_failure)?;
    let account = account.filter(|account| token_is_good(core, account, token)).ok_or(Errno::WrongCredentials)?;
    core.login_limit.welcome(origin, called, account.id, Instant::now());
    Ok(account)
}

fn token_is_good(core: &Core, account: &Account, token: &str) -> bool {
    let now = crate::clock::now_ms();
    crate::auth::token::parse(token).is_some_and(|claims| {
        claims.user == account.id
            && crate::auth::token::check(&core.token_key, &claims, account.token_generation, &account.password, now)
    })
}

/// Ends, or waits for the end of, the user's session on this node.
async fn make_room(core: &Core, caller: &Caller, user: UserId, takeover: bool) -> Result<(), Failure> {
    let Some(old) = core.registry.get(user) else { return Ok(()) };
    wants_it_still(caller, takeover)?;
    let mut released = std::pin::pin!(old.wait_released());
    released.as_mut().enable();
    if !old.has_ended() {
        if !takeover {
            return Err(Errno::LoggedIn.into());
        }
        old.close(Errno::Replaced.into());
    }
    if core.registry.get(user).is_some_and(|current| current.epoch == old.epoch)
        && tokio::time::timeout(TAKEOVER_WAIT, released).await.is_err()
    {
        return Err(unavailable());
    }
    Ok(())
}

/// Wins the session row; returns the session's epoch.
async fn claim(core: &Core, caller: &Caller, user: UserId, takeover: bool) -> Result<u64, Failure> {
    let give_up_at = Instant::now() + TAKEOVER_WAIT;
    let by = takeover.then(|| caller.outbound.clone() as Arc<dyn Claimant>);
    loop {
        let mut yielded = std::pin::pin!(core.yielded.notified());
        yielded.as_mut().enable();
        match core.seats.claim(Claim { user, takeover: by.clone() }).await.map_err(storage_failure)? {
            Claimed::Won { epoch } if core.lease.is_held() => return Ok(epoch),
            Claimed::Won { epoch } => {
                core.seats.release(Release { user, epoch }, Vec::new()).await;
                return Err(unavailable());
            }
            Claimed::NoSuchUser => return Err(Errno::WrongCredentials.into()),
            Claimed::Busy => return Err(unavailable()),
            Claimed::Held { node, .. } if !takeover => return Err(held_elsewhere(core.watch.left(&node))),
            Claimed::Held { node, epoch } => {
                wants_it_still(caller, takeover)?;
                if Instant::now() >= give_up_at {
                    return Err(unavailable().retry_after(core.watch.left(&node)));
                }
                ask_for(core, &node.id, user, epoch);
                let _ = tokio::time::timeout(TAKEOVER_POLL, yielded).await;
            }
        }
    }
}

/// A client that has given up waiting is perhaps logged in elsewhere by now, and must not replace itself there.
fn wants_it_still(caller: &Caller, takeover: bool) -> Result<(), Failure> {
    if takeover && !caller.outbound.is_waiting() { Err(unavailable()) } else { Ok(()) }
}

fn ask_for(core: &Core, node: &NodeId, user: UserId, epoch: u64) {
    core.bus.send(node, Item::Yield { user, epoch });
}

fn held_elsewhere(lease_left: Duration) -> Failure {
    let failure = Failure::from(Errno::LoggedIn);
    if lease_left < KNOWN_ALIVE { failure.retry_after(lease_left) } else { failure }
}

async fn greet(core: &Core, session: &Arc<Session>, account: &Account) -> Result<LoginAck, Failure> {
    let waiting = core.storage.waiting(&[session.user]).await.map_err(storage_failure)?;
    let offline = match waiting.is_empty() {
        true => 0,
        false => core.storage.count_waiting(session.user, MAX_COUNTED).await.map_err(storage_failure)?,
    };
    let mut inline = Vec::new();
    for conversation in waiting {
        if failpoint::hits(Failpoint::SessionOfflineLost) {
            lose(core, session, &conversation);
            continue;
        }
        let pushed = match session.acknowledges {
            true => conversation.position.received_seq,
            false => inline_waiting(core, session, &conversation, &mut inline).await?,
        };
        session.waits(&conversation, pushed);
    }
    let roster: Roster = roster::roster(core, session.user).await?;
    Ok(LoginAck {
        id: account.id,
        name: account.name.clone(),
        token: account::token(core, account),
        node: core.key.id.to_string(),
        version: 1,
        server: concat!("chat ", env!("CARGO_PKG_VERSION")).into(),
        time: crate::clock::now_ms(),
        heartbeat_s: core.config.limits.heartbeat_s,
        roster,
        offline,
        caps: vec!["events".into()],
        max_frame_bytes: core.config.limits.max_frame_bytes,
        waiting: inline,
    })
}

/// `session::offline_lost`: counts what waits in one conversation as pushed and received.
fn lose(core: &Core, session: &Arc<Session>, waiting: &Waiting) {
    session.waits(waiting, waiting.last_seq);
    let log = Log { conv: waiting.conv, epoch: waiting.position.log_epoch };
    if session.received(log, waiting.last_seq) {
        core.marks.add(session.clone());
    }
}

/// Adds what waits in one conversation to `inline`, as far as it fits; returns the seq up to which it is in there.
async fn inline_waiting(
    core: &Core,
    session: &Session,
    waiting: &Waiting,
    inline: &mut Vec<ChatMessage>,
) -> Result<u64, Failure> {
    let bytes: usize = inline.iter().map(ChatMessage::text_bytes).sum();
    let room = INLINE_BYTES.saturating_sub(bytes);
    let limit = INLINE_MESSAGES.saturating_sub(inline.len() as u32);
    if room == 0 || limit == 0 {
        return Ok(waiting.position.received_seq);
    }
    let page = core.storage.messages_after(waiting.conv, waiting.position.received_seq, limit, room).await;
    let mut last = waiting.position.received_seq;
    for message in page.map_err(storage_failure)?.messages {
        if message.seq != last + 1 {
            // One is missing: what follows it comes once it is there, or known to be gone.
            break;
        }
        last = message.seq;
        if message.sender != session.user {
            inline.push(message);
        }
    }
    Ok(last)
}
