//! LOGIN and LOGOUT: one session a user, across all nodes.
//!
//! The session row decides. A login on this node first waits for, or ends, the session that stands here; one held by
//! another live node is asked for over the bus and in its row, so that a takeover works with and without Redis.

use super::{Answer, Caller, SessionChange, account, events, roster};
use crate::auth::origin::Origin;
use crate::auth::password::{Asker, Purpose};
use crate::bus::Item;
use crate::cluster::NodeId;
use crate::config::limits::Limits;
use crate::context::Context;
use crate::failpoint::{self, Failpoint};
use crate::membership::lease::{LEASE_RENEWAL, LEASE_WATCH};
use crate::session::Session;
use crate::session::failure::{change_failure, storage_failure, unavailable};
use crate::session::outbound::Outbound;
use crate::storage::{self, Account, Claim, Claimant, Claimed, Release, Waiting};
use chat_protocol::MAX_NODE_FRAME_BYTES;
use chat_protocol::conversation::UserId;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{ChatMessage, Login, LoginAck, Nothing, Proof, Reply, Secret, Who};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest a takeover waits for the other session to end; then errno 11.
const TAKEOVER_WAIT: Duration = Duration::from_secs(4);
/// Between two looks whether the other node has given the session up.
const TAKEOVER_POLL: Duration = Duration::from_millis(250);
/// How long a login that is refused after all waits until the other session need not end for it.
const WITHDRAWAL_WAIT: Duration = Duration::from_secs(1);
/// Wait before that is tried again where another transaction holds the other session's row.
const WITHDRAWAL_RETRY: Duration = Duration::from_millis(50);
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

pub async fn login(context: &Arc<Context>, caller: &Caller, login: Login) -> Answer {
    match try_login(context, caller, login).await {
        Ok((ack, session)) => {
            Answer { result: Ok(Reply::Login(Box::new(ack))), session: SessionChange::Began(session) }
        }
        Err(failure) => Err(failure).into(),
    }
}

pub async fn logout(context: &Arc<Context>, caller: &Caller, session: &Arc<Session>, revoke: bool) -> Answer {
    if revoke && let Err(error) = context.storage.revoke_tokens(&session.actor(&context.key)).await {
        return Err(change_failure(session, error)).into();
    }
    leave(context, &caller.outbound, session).await;
    Answer { result: Ok(Reply::Logout(Nothing {})), session: SessionChange::Ended }
}

/// Ends the session of a connection that is still served. The kernel of a client that cannot acknowledge is given
/// [`LAST_ARRIVALS`] for what was pushed and is on its way.
pub async fn leave(context: &Arc<Context>, outbound: &Outbound, session: &Arc<Session>) {
    if !session.acknowledges {
        session.leave();
        // What has not arrived by then comes again.
        let _ = tokio::time::timeout(LAST_ARRIVALS, outbound.all_arrived()).await;
    }
    end(context, session).await;
}

/// Ends a session, and tells the user's friends.
pub async fn end(context: &Arc<Context>, session: &Arc<Session>) {
    context.endings.end(session).await;
    events::went(&context.delivery, session);
}

/// A connection's task has panicked. Its session, also one whose login was under way, ends as if the connection had
/// closed.
pub async fn clean_up_after(context: &Arc<Context>, outbound: &Arc<Outbound>) {
    outbound.abandon();
    for session in context.endings.on(outbound) {
        end(context, &session).await;
    }
}

async fn try_login(context: &Arc<Context>, caller: &Caller, login: Login) -> Result<(LoginAck, Arc<Session>), Failure> {
    if caller.session.is_some() {
        return Err(Failure::new(Errno::LoggedIn, "already logged in on this connection"));
    }
    if !context.lease.is_held() {
        return Err(unavailable());
    }
    let account = authenticate(context, caller, &login).await?;
    let _turn = context.registry.login_turn(account.id).await;
    make_room(context, caller, account.id, login.takeover).await?;
    let epoch = claim(context, caller, &account, login.takeover).await?;

    let name: Arc<str> = account.name.as_str().into();
    let outbound = caller.outbound.clone();
    let session = Arc::new(Session::new(account.id, name, epoch, login.events, login.acknowledges, outbound));
    context.registry.insert(session.clone());
    context.metrics.sessions.inc();
    context.metrics.logins_total.inc();
    context.peers.tell(|| Item::Online { users: vec![account.id] });
    match greet(context, &caller.config.limits, &session, &account).await {
        Ok(ack) => {
            events::came(&context.delivery, &session, &ack.roster.friends);
            Ok((ack, session))
        }
        Err(failure) => {
            end(context, &session).await;
            Err(failure)
        }
    }
}

/// The account, if the proof is good. Whether it is disabled is told to nobody else.
async fn authenticate(context: &Context, caller: &Caller, login: &Login) -> Result<Account, Failure> {
    let origin = Origin::of(caller.address);
    let account = match &login.proof {
        Proof::Password(password) => by_password(context, origin, &login.who, password).await?,
        Proof::Token(token) => by_token(context, origin, &login.who, &token.0).await?,
    };
    if account.is_disabled { Err(Errno::AccountDisabled.into()) } else { Ok(account) }
}

/// Every failure costs the same work and gives the same answer; only one that was a wrong password counts as a guess.
async fn by_password(context: &Context, origin: Origin, called: &Who, password: &Secret) -> Result<Account, Failure> {
    let mut attempt = context.login_limit.attempt(origin, called, Instant::now())?;
    let account = context.login_reads.accounts.read(called.clone()).await.map_err(storage_failure)?;
    attempt.at(account.as_ref().map(|account| account.id), Instant::now())?;
    let asker = Asker { origin, purpose: Purpose::Login };
    let stored = account.as_ref().map(|account| account.password.as_str());
    let good = context.passwords.verify(asker, password, stored).await?;
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
async fn by_token(context: &Context, origin: Origin, called: &Who, token: &str) -> Result<Account, Failure> {
    let account = context.login_reads.accounts.read(called.clone()).await.map_err(storage_failure)?;
    let account = account.filter(|account| token_is_good(context, account, token)).ok_or(Errno::WrongCredentials)?;
    context.login_limit.welcome(origin, called, account.id, Instant::now());
    Ok(account)
}

fn token_is_good(context: &Context, account: &Account, token: &str) -> bool {
    let now = context.environment.now_ms();
    crate::auth::token::parse(token).is_some_and(|claims| {
        claims.user == account.id
            && crate::auth::token::check(&context.token_key, &claims, account.token_generation, &account.password, now)
    })
}

/// Ends, or waits for the end of, the user's session on this node.
async fn make_room(context: &Context, caller: &Caller, user: UserId, takeover: bool) -> Result<(), Failure> {
    let Some(old) = context.registry.get(user) else { return Ok(()) };
    wants_it_still(caller, takeover)?;
    let mut released = std::pin::pin!(old.wait_released());
    released.as_mut().enable();
    if !old.has_ended() {
        if !takeover {
            return Err(Errno::LoggedIn.into());
        }
        if context.shutdown.is_draining() {
            // Its end could not be waited for.
            return Err(unavailable());
        }
        old.close(Errno::Replaced.into());
    }
    match context.registry.get(user).is_some_and(|current| current.epoch == old.epoch) {
        true => unless_draining(context, TAKEOVER_WAIT, released).await?.ok_or_else(unavailable),
        false => Ok(()),
    }
}

/// Wins the session row; returns the session's epoch. Where that fails, whoever has it may keep it.
async fn claim(context: &Context, caller: &Caller, account: &Account, takeover: bool) -> Result<u64, Failure> {
    let mut may_be_asked = false;
    let won = try_claim(context, caller, account, takeover, &mut may_be_asked).await;
    if won.is_err()
        && may_be_asked
        && !matches!(tokio::time::timeout(WITHDRAWAL_WAIT, withdraw(context, account.id)).await, Ok(Ok(())))
    {
        tracing::warn!(user = account.id, "a session may end for a login that was refused");
    }
    won
}

/// Whoever has the user's session need not end it any more.
async fn withdraw(context: &Context, user: UserId) -> storage::Result<()> {
    while !context.login_reads.withdrawn.read(user).await? {
        tokio::time::sleep(WITHDRAWAL_RETRY).await;
    }
    Ok(())
}

/// `may_be_asked`: whether another session may have been asked to end.
async fn try_claim(
    context: &Context,
    caller: &Caller,
    account: &Account,
    takeover: bool,
    may_be_asked: &mut bool,
) -> Result<u64, Failure> {
    let (user, token_generation) = (account.id, Some(account.token_generation));
    let give_up_at = Instant::now() + TAKEOVER_WAIT;
    // While the node drains nobody is asked to end: it could not be waited for.
    let may_ask = takeover && !context.shutdown.is_draining();
    let by = may_ask.then(|| caller.outbound.clone() as Arc<dyn Claimant>);
    let claim = Claim { user, takeover: by, token_generation };
    let waiting = context.endings.yielded.wait_for(user);
    loop {
        let mut yielded = std::pin::pin!(waiting.notified());
        yielded.as_mut().enable();
        let claimed = context.claims.claim(claim.clone()).await;
        // Where the outcome is unknown it may have been.
        *may_be_asked |= may_ask && matches!(claimed, Ok(Claimed::Held { .. }) | Err(_));
        match claimed.map_err(storage_failure)? {
            Claimed::Won { epoch } if context.lease.is_held() => return Ok(epoch),
            Claimed::Won { epoch } => {
                context.claims.release(Release { user, epoch }, Vec::new()).await;
                return Err(unavailable());
            }
            Claimed::NoSuchUser => return Err(Errno::WrongCredentials.into()),
            Claimed::Disabled => return Err(Errno::AccountDisabled.into()),
            // All tokens have been ended since the proof was checked, perhaps with a new password: it may not be good
            // now.
            Claimed::Busy | Claimed::Outdated => return Err(unavailable()),
            Claimed::Held { node, epoch } if !takeover => {
                context.bus.send(&node.id, Item::InTheWay { user, epoch });
                return Err(held_elsewhere(context.watch.left(&node)));
            }
            Claimed::Held { .. } if !may_ask => return Err(unavailable()),
            Claimed::Held { node, epoch } => {
                wants_it_still(caller, takeover)?;
                let (now, lease_left) = (Instant::now(), context.watch.left(&node));
                if now >= give_up_at {
                    return Err(unavailable().retry_after(lease_left));
                }
                ask_for(context, &node.id, user, epoch);
                // A node that is silent gives nothing up before its lease ends.
                let next_look = if lease_left < KNOWN_ALIVE { lease_left.max(TAKEOVER_POLL) } else { TAKEOVER_POLL };
                unless_draining(context, next_look.min(give_up_at - now), yielded).await?;
            }
        }
    }
}

/// Waits for something; `None` if it takes longer. Who waits on a node that drains is refused before the connection
/// closes: a reply is due, and there is little time.
async fn unless_draining<T>(
    context: &Context,
    longest: Duration,
    waiting: impl Future<Output = T>,
) -> Result<Option<T>, Failure> {
    tokio::select! {
        waited = tokio::time::timeout(longest, waiting) => Ok(waited.ok()),
        () = context.shutdown.draining() => Err(unavailable()),
    }
}

/// A client that has given up waiting is perhaps logged in elsewhere by now, and must not replace itself there.
fn wants_it_still(caller: &Caller, takeover: bool) -> Result<(), Failure> {
    if takeover && !caller.outbound.is_waiting() { Err(unavailable()) } else { Ok(()) }
}

fn ask_for(context: &Context, node: &NodeId, user: UserId, epoch: u64) {
    context.bus.send(node, Item::Yield { user, epoch });
}

fn held_elsewhere(lease_left: Duration) -> Failure {
    let failure = Failure::from(Errno::LoggedIn);
    if lease_left < KNOWN_ALIVE { failure.retry_after(lease_left) } else { failure }
}

async fn greet(
    context: &Context,
    limits: &Limits,
    session: &Arc<Session>,
    account: &Account,
) -> Result<LoginAck, Failure> {
    let ((offline, waiting), roster) =
        tokio::try_join!(backlog(context, session), roster::roster(context, session.user))?;
    Ok(LoginAck {
        id: account.id,
        name: account.name.clone(),
        token: account::token(context, account),
        node: context.key.id.to_string(),
        version: 1,
        server: concat!("chat ", env!("CARGO_PKG_VERSION")).into(),
        time: context.environment.now_ms(),
        heartbeat_s: limits.heartbeat_s,
        roster,
        offline,
        caps: vec!["events".into()],
        max_frame_bytes: limits.max_frame_bytes,
        waiting,
    })
}

/// Tells the session what waits for it. Returns how much that is, and what travels inside the LOGIN_ACK.
async fn backlog(context: &Context, session: &Session) -> Result<(u64, Vec<ChatMessage>), Failure> {
    let waiting = context.login_reads.waiting.read(session.user).await.map_err(storage_failure)?;
    let offline = match waiting.is_empty() {
        true => 0,
        // By itself: it may take a while, and nobody else is to wait for it.
        false => context.storage.count_waiting(session.user, MAX_COUNTED).await.map_err(storage_failure)?,
    };
    let mut inline = Vec::new();
    for conversation in waiting {
        let pushed = match session.acknowledges {
            _ if failpoint::hits(Failpoint::SessionOfflineLost) => conversation.last_seq,
            true => conversation.position.received_seq,
            false => inline_waiting(context, session, &conversation, &mut inline).await?,
        };
        session.waits(&conversation, pushed);
    }
    Ok((offline, inline))
}

/// Adds what waits in one conversation to `inline`, as far as it fits; returns the seq up to which it is in there.
async fn inline_waiting(
    context: &Context,
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
    let page = context.storage.messages_after(waiting.conv, waiting.position.received_seq, limit, room).await;
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
