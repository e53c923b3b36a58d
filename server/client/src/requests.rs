//! The calls an application makes: one method per request of the protocol.
//!
//! All but the chat messages fail with [`Error::Disconnected`] where there is no connection, and are not sent again:
//! after that it is unknown whether the request was done.

use super::error::{Error, Why};
use super::event::Message;
use super::options::Credentials;
use super::outbox::Unacked;
use super::reconnect::login_request;
use super::shared::{Ask, Command, Effect};
use super::wire::{Acknowledged, History as HistoryRequest, JoinedGroup, Reply, Request, RosterPage};
use super::{Client, Session};
use chat_protocol::conversation::{GroupId, Target, UserId};
use chat_protocol::message::{Friend, GroupUser, LoginAck, Roster, TimeMs};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;
use uuid::Uuid;

/// A page of a conversation, oldest first, one's own messages included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub conv: Arc<str>,
    pub messages: Vec<Message>,
    /// There are older ones.
    pub more: bool,
}

/// A page of a group's users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsersPage {
    pub users: Vec<GroupUser>,
    /// There are users with higher ids.
    pub more: bool,
}

/// Takes the one reply that a request can have, or fails.
macro_rules! expect {
    ($reply:expr, $pattern:pat => $value:expr) => {
        match $reply {
            $pattern => Ok($value),
            _ => Err(Error::Protocol("another request's reply".into())),
        }
    };
}

impl Client {
    /// Makes an account; no login is needed.
    pub async fn register(&self, name: &str, password: &str) -> Result<UserId, Error> {
        expect!(self.ask(&Request::Register { name, password }, Effect::None).await?, Reply::Register { id } => id)
    }

    /// Logs in on this connection, with the token where the credentials have one, else with the password. Reconnects
    /// then log in by themselves, taking over.
    pub async fn login(&self, credentials: Credentials) -> Result<Box<LoginAck>, Error> {
        let effect = Effect::LogIn(Box::new(credentials.clone()));
        let token = credentials.token.as_ref();
        let password = credentials.password.as_ref().filter(|_| token.is_none());
        let request = login_request(&credentials, token, password, self.handle.news);
        expect!(self.ask(&request, effect).await?, Reply::Login(ack) => ack)
    }

    /// Ends the session; the connection stays. What was received is acknowledged first. `revoke`: end all tokens as
    /// well.
    pub async fn logout(&self, revoke: bool) -> Result<(), Error> {
        expect!(self.ask(&Request::Logout { revoke }, Effect::LogOut).await?, Reply::Logout => ())
    }

    pub async fn add_friend(&self, friendid: UserId) -> Result<Friend, Error> {
        expect!(self.ask(&Request::AddFriend { friendid }, Effect::None).await?, Reply::AddFriend(friend) => friend)
    }

    pub async fn remove_friend(&self, friendid: UserId) -> Result<(), Error> {
        expect!(self.ask(&Request::RemoveFriend { friendid }, Effect::None).await?, Reply::RemoveFriend => ())
    }

    pub async fn create_group(&self, groupname: &str, groupdesc: &str) -> Result<GroupId, Error> {
        let request = Request::CreateGroup { groupname, groupdesc };
        expect!(self.ask(&request, Effect::None).await?, Reply::CreateGroup { groupid } => groupid)
    }

    pub async fn join_group(&self, groupid: GroupId) -> Result<JoinedGroup, Error> {
        expect!(self.ask(&Request::JoinGroup { groupid }, Effect::None).await?, Reply::JoinGroup(group) => group)
    }

    pub async fn leave_group(&self, groupid: GroupId) -> Result<(), Error> {
        expect!(self.ask(&Request::LeaveGroup { groupid }, Effect::None).await?, Reply::LeaveGroup => ())
    }

    /// Friends and groups as of now, each list as long as one frame has it; see [`Roster::more`].
    pub async fn roster(&self) -> Result<Box<Roster>, Error> {
        let request = Request::Roster(RosterPage::default());
        expect!(self.ask(&request, Effect::None).await?, Reply::Roster(roster) => roster)
    }

    /// Users of one group with an id above `after`, at most `limit`.
    pub async fn group_users(&self, groupid: GroupId, after: UserId, limit: u32) -> Result<UsersPage, Error> {
        let page = RosterPage { groupid: Some(groupid), after: Some(after), limit: Some(limit) };
        let mut roster =
            expect!(self.ask(&Request::Roster(page), Effect::None).await?, Reply::Roster(roster) => roster)?;
        let more = roster.more;
        match roster.groups.pop() {
            Some(group) if group.id == groupid => Ok(UsersPage { users: group.users, more: more || group.more }),
            _ => Err(Error::Protocol("a page of another group".into())),
        }
    }

    /// Messages of a conversation below `before` (the newest if `None`), at most `limit` (1..200; 50 if `None`).
    pub async fn history(&self, of: Target, before: Option<u64>, limit: Option<u32>) -> Result<History, Error> {
        let (toid, groupid) = match of {
            Target::User(user) => (Some(user), None),
            Target::Group(group) => (None, Some(group)),
        };
        let request = Request::History(HistoryRequest { toid, groupid, before, limit });
        let page = expect!(self.ask(&request, Effect::None).await?, Reply::History(page) => page)?;
        let (conv, at): (Arc<str>, _) = (page.conv.into(), Instant::now());
        let me = self.session().map_or(0, |session: Arc<Session>| session.id);
        let messages = page.messages.into_iter().map(|push| Message::new(push, conv.clone(), me, at)).collect();
        Ok(History { conv, messages, more: page.more })
    }

    /// Ends all tokens but the new one, which this client keeps for its reconnects.
    pub async fn change_password(&self, old: &str, new: &str) -> Result<(), Error> {
        let effect = Effect::NewPassword(new.into());
        let reply = self.ask(&Request::ChangePassword { old, new }, effect).await?;
        expect!(reply, Reply::ChangePassword { .. } => ())
    }

    /// Asks for a sign of life; returns the node's time.
    pub async fn ping(&self) -> Result<TimeMs, Error> {
        expect!(self.ask(&Request::Ping {}, Effect::None).await?, Reply::Pong { time } => time)
    }

    /// Sends a message and waits for its ack. `qos` 1 is sent again, under the same mid, after a reconnect and after a
    /// retryable refusal; 0 ends with the connection.
    ///
    /// Errors: [`Error::Refused`] for good, [`Error::TimedOut`] after `send_timeout`, [`Error::Full`].
    pub async fn send(&self, to: Target, text: &str, qos: u8) -> Result<Acknowledged, Error> {
        self.send_as(Uuid::now_v7(), to, text, qos).await
    }

    /// [`Client::send`] under a mid of the caller's: sending the same message twice under one mid says it once.
    pub async fn send_as(&self, mid: Uuid, to: Target, text: &str, qos: u8) -> Result<Acknowledged, Error> {
        let (sender, receiver) = oneshot::channel();
        self.queue(mid, to, text, qos, Some(sender))?;
        receiver.await.unwrap_or(Err(Error::Disconnected(Why::Ended)))
    }

    /// Queues a message and returns its mid; what became of it arrives as [`super::Event::Acked`].
    ///
    /// Errors: [`Error::Full`], [`Error::TooLarge`], and [`Error::Disconnected`] once the client has ended.
    pub fn send_nowait(&self, to: Target, text: &str, qos: u8) -> Result<Uuid, Error> {
        let mid = Uuid::now_v7();
        self.queue(mid, to, text, qos, None)?;
        Ok(mid)
    }

    /// [`Client::send_nowait`] under a mid of the caller's.
    pub fn send_nowait_as(&self, mid: Uuid, to: Target, text: &str, qos: u8) -> Result<(), Error> {
        self.queue(mid, to, text, qos, None)
    }

    fn queue(&self, mid: Uuid, to: Target, text: &str, qos: u8, waiter: super::outbox::Waiter) -> Result<(), Error> {
        let mut frame = Vec::with_capacity(text.len() + FRAME_OVERHEAD_BYTES);
        Request::chat(to, text, qos).encode(Some(mid), &mut frame);
        let message = Unacked::new(mid, to, frame.into(), qos != 0, waiter);
        self.handle.shared.submit(Command::Chat(message))
    }

    async fn ask(&self, request: &Request<'_>, effect: Effect) -> Result<Reply, Error> {
        let (mid, mut frame) = (Uuid::now_v7(), Vec::new());
        request.encode(Some(mid), &mut frame);
        let (waiter, receiver) = oneshot::channel();
        self.handle.shared.submit(Command::Request(Ask { mid, frame, effect, waiter }))?;
        receiver.await.unwrap_or(Err(Error::Disconnected(Why::Ended)))
    }
}

/// What a chat frame takes beside its text, about.
const FRAME_OVERHEAD_BYTES: usize = 128;
