//! What each request does: one file a kind. Typed request in, typed reply out; no socket and no dialect is seen here.

mod account;
pub mod chat;
pub mod events;
mod friend;
mod group;
mod history;
pub mod login;
mod roster;

use crate::context::Core;
use crate::delivery::commit::unavailable;
use crate::session::Session;
use crate::session::outbound::Outbound;
use crate::storage;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{Command, Reply};
use std::net::IpAddr;
use std::sync::Arc;

/// Who asks: a connection, and its session if it has one.
#[derive(Clone)]
pub struct Caller {
    pub address: IpAddr,
    pub outbound: Arc<Outbound>,
    pub session: Option<Arc<Session>>,
}

/// A reply, and what became of the connection's session.
pub struct Answer {
    pub result: Result<Reply, Failure>,
    pub session: SessionChange,
}

pub enum SessionChange {
    Same,
    /// To be made live once the reply is queued.
    Began(Arc<Session>),
    Ended,
}

impl From<Result<Reply, Failure>> for Answer {
    fn from(result: Result<Reply, Failure>) -> Self {
        Answer { result, session: SessionChange::Same }
    }
}

/// Answers any request but chats, RECEIVED, PING and PONG, which the connection sees to without waiting.
pub async fn answer(core: Arc<Core>, caller: Caller, command: Command) -> Answer {
    match command {
        Command::Login(login) => login::login(&core, &caller, login).await,
        Command::Register { name, password } => account::register(&core, &caller, name, password).await.into(),
        command => match caller.session.clone() {
            None => Err(Errno::NotLoggedIn.into()).into(),
            Some(session) => answer_user(&core, &caller, &session, command).await,
        },
    }
}

async fn answer_user(core: &Arc<Core>, caller: &Caller, session: &Arc<Session>, command: Command) -> Answer {
    if let Command::Logout { revoke } = command {
        return login::logout(core, caller, session, revoke).await;
    }
    // In this order: what was taken over is closed before the lease is good again.
    if !core.lease.is_held() || session.is_closing() {
        return Err(unavailable()).into();
    }
    let user = session.user;
    let result = match command {
        Command::AddFriend { friend } => friend::add(core, session, friend).await,
        Command::RemoveFriend { friend } => friend::remove(core, session, friend).await,
        Command::CreateGroup { name, description } => group::create(core, session, name, description).await,
        Command::JoinGroup { group } => group::join(core, session, group).await,
        Command::LeaveGroup { group } => group::leave(core, session, group).await,
        Command::History { of, before, limit } => history::history(core, user, of, before, limit).await,
        Command::Roster { page } => roster::answer(core, user, page).await,
        Command::ChangePassword { old, new } => account::change_password(core, caller, session, old, new).await,
        Command::Login(_) | Command::Logout { .. } | Command::Register { .. } => Err(Errno::LoggedIn.into()),
        Command::Chat(_) | Command::Received { .. } | Command::Ping | Command::Pong => {
            Err(Failure::new(Errno::Unavailable, "handled by the connection"))
        }
    };
    result.into()
}

/// The same where something was to change: a session that turns out to be another node's is closed.
pub(crate) fn change_failure(session: &Session, error: storage::Error) -> Failure {
    if let storage::Error::SessionGone = error {
        session.lose();
    }
    storage_failure(error)
}

/// Errno 11, with the cause in the log and not on the wire.
pub(crate) fn storage_failure(error: storage::Error) -> Failure {
    tracing::warn!(%error, "a request could not be done");
    unavailable()
}
