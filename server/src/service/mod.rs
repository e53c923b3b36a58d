//! What each request does: one file a kind. Typed request in, typed reply out; no socket and no dialect is seen here.

mod account;
pub mod chat;
pub mod events;
mod friend;
mod group;
mod history;
pub mod login;
mod roster;

use crate::config::Config;
use crate::context::Context;
use crate::session::Session;
use crate::session::failure::unavailable;
use crate::session::outbound::Outbound;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{Command, History, Reply};
use std::net::IpAddr;
use std::sync::Arc;

/// Who asks: a connection, and its session if it has one.
#[derive(Clone)]
pub struct Caller {
    /// Those that the connection keeps to.
    pub config: Arc<Config>,
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
pub async fn answer(context: Arc<Context>, caller: Caller, command: Command) -> Answer {
    match command {
        Command::Login(login) => login::login(&context, &caller, login).await,
        Command::Register(new) => account::register(&context, &caller, new.name, new.password).await.into(),
        command => match caller.session.clone() {
            None => Err(Errno::NotLoggedIn.into()).into(),
            Some(session) => answer_user(&context, &caller, &session, command).await,
        },
    }
}

async fn answer_user(context: &Arc<Context>, caller: &Caller, session: &Arc<Session>, command: Command) -> Answer {
    if let Command::Logout(logout) = command {
        return login::logout(context, caller, session, logout.revoke).await;
    }
    // In this order: what was taken over is closed before the lease is good again.
    if !context.lease.is_held() || session.is_closing() {
        return Err(unavailable()).into();
    }
    let user = session.user;
    let result = match command {
        Command::AddFriend(add) => friend::add(context, session, add.friend).await,
        Command::RemoveFriend(remove) => friend::remove(context, session, remove.friendid).await,
        Command::CreateGroup(new) => group::create(context, session, new.groupname, new.groupdesc).await,
        Command::JoinGroup(join) => group::join(context, session, join.groupid).await,
        Command::LeaveGroup(leave) => group::leave(context, session, leave.groupid).await,
        Command::History(History { of, before, limit }) => history::history(context, user, of, before, limit).await,
        Command::Roster(ask) => roster::answer(context, user, ask.page).await,
        Command::ChangePassword(change) => {
            account::change_password(context, caller, session, change.old, change.new).await
        }
        Command::Login(_) | Command::Logout(_) | Command::Register(_) => Err(Errno::LoggedIn.into()),
        Command::Chat(_) | Command::Received(_) | Command::Ping(_) | Command::Pong(_) => {
            Err(Failure::new(Errno::Unavailable, "handled by the connection"))
        }
    };
    result.into()
}
