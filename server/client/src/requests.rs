//! The calls an application makes: one method per request of the protocol.
//!
//! All but the chat messages fail with [`Error::Disconnected`] where there is no connection, and are not sent again:
//! after that it is unknown whether the request was done.

use super::error::{Error, Why};
use super::event::{Acknowledged, Message};
use super::options::Credentials;
use super::outbox::Unacked;
use super::shared::{Ask, Effect, Queued};
use super::{Client, Session};
use chat_protocol::conversation::{GroupId, Target, UserId};
use chat_protocol::from_node::Reply;
use chat_protocol::message::{
    self, AddFriend, AskRoster, ChangePassword, Command, CreateGroup, Friend, GroupPage, GroupUser, JoinGroup,
    JoinedGroup, LeaveGroup, LoginAck, Logout, Ping, Register, RemoveFriend, Roster, Secret, TimeMs, Who, write_chat,
};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

/// A page of a conversation, oldest first, one's own messages included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub conv: Arc<str>,
    pub messages: Vec<Message>,
    /// There are older ones.
    pub more: bool,
    /// The conversation begins here, since what came before is kept no longer; known once there are no older ones.
    pub first_seq: Option<u64>,
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
        let request = Register { name: name.into(), password: Secret(password.into()) };
        let reply = self.ask(Command::Register(request), Effect::None).await?;
        expect!(reply, Reply::Register(registered) => registered.id)
    }

    /// Logs in on this connection, with the token where the credentials have one, else with the password. Reconnects
    /// then log in by themselves, taking over.
    pub async fn login(&self, credentials: Credentials) -> Result<Box<LoginAck>, Error> {
        let effect = Effect::LogIn(Box::new(credentials.clone()));
        let request = credentials.login(credentials.proof()?, self.handle.news);
        expect!(self.ask(request, effect).await?, Reply::Login(ack) => ack)
    }

    /// Ends the session; the connection stays. What was received is acknowledged first. `revoke`: end all tokens as
    /// well.
    pub async fn logout(&self, revoke: bool) -> Result<(), Error> {
        expect!(self.ask(Command::Logout(Logout { revoke }), Effect::LogOut).await?, Reply::Logout(_) => ())
    }

    pub async fn add_friend(&self, friendid: UserId) -> Result<Friend, Error> {
        self.befriend(Who::Id(friendid)).await
    }

    /// [`Client::add_friend`] by what the other is called.
    pub async fn add_friend_named(&self, name: &str) -> Result<Friend, Error> {
        self.befriend(Who::Name(name.into())).await
    }

    async fn befriend(&self, friend: Who) -> Result<Friend, Error> {
        let request = Command::AddFriend(AddFriend { friend });
        expect!(self.ask(request, Effect::None).await?, Reply::AddFriend(friend) => friend)
    }

    pub async fn remove_friend(&self, friendid: UserId) -> Result<(), Error> {
        let request = Command::RemoveFriend(RemoveFriend { friendid });
        expect!(self.ask(request, Effect::None).await?, Reply::RemoveFriend(_) => ())
    }

    pub async fn create_group(&self, groupname: &str, groupdesc: &str) -> Result<GroupId, Error> {
        let request = CreateGroup { groupname: groupname.into(), groupdesc: groupdesc.into() };
        let reply = self.ask(Command::CreateGroup(request), Effect::None).await?;
        expect!(reply, Reply::CreateGroup(created) => created.groupid)
    }

    pub async fn join_group(&self, groupid: GroupId) -> Result<JoinedGroup, Error> {
        let request = Command::JoinGroup(JoinGroup { groupid });
        expect!(self.ask(request, Effect::None).await?, Reply::JoinGroup(group) => group)
    }

    pub async fn leave_group(&self, groupid: GroupId) -> Result<(), Error> {
        let request = Command::LeaveGroup(LeaveGroup { groupid });
        expect!(self.ask(request, Effect::None).await?, Reply::LeaveGroup(_) => ())
    }

    /// Friends and groups as of now, each list as long as one frame has it; see [`Roster::more`].
    pub async fn roster(&self) -> Result<Box<Roster>, Error> {
        let request = Command::Roster(AskRoster { page: None });
        expect!(self.ask(request, Effect::None).await?, Reply::Roster(roster) => roster)
    }

    /// Users of one group with an id above `after`, at most `limit`.
    pub async fn group_users(&self, groupid: GroupId, after: UserId, limit: u32) -> Result<UsersPage, Error> {
        let page = Some(GroupPage { group: groupid, after, limit });
        let request = Command::Roster(AskRoster { page });
        let mut roster = expect!(self.ask(request, Effect::None).await?, Reply::Roster(roster) => roster)?;
        let more = roster.more;
        match roster.groups.pop() {
            Some(group) if group.id == groupid => Ok(UsersPage { users: group.users, more: more || group.more }),
            _ => Err(Error::Protocol("a page of another group".into())),
        }
    }

    /// Messages of a conversation below `before` (the newest if `None`), at most `limit` (1..200; 50 if `None`).
    pub async fn history(&self, of: Target, before: Option<u64>, limit: Option<u32>) -> Result<History, Error> {
        let request = Command::History(message::History::of(of, before, limit));
        let page = expect!(self.ask(request, Effect::None).await?, Reply::History(page) => page)?;
        let (conv, at): (Arc<str>, _) = (page.conv.into(), Instant::now());
        let me = self.session().map_or(0, |session: Arc<Session>| session.id);
        let messages = page.messages.into_iter().map(|push| Message::new(push, conv.clone(), me, at)).collect();
        Ok(History { conv, messages, more: page.more, first_seq: page.first_seq })
    }

    /// Ends all tokens but the new one, which this client keeps for its reconnects.
    pub async fn change_password(&self, old: &str, new: &str) -> Result<(), Error> {
        let effect = Effect::NewPassword(new.into());
        let request = ChangePassword { old: Secret(old.into()), new: Secret(new.into()) };
        let reply = self.ask(Command::ChangePassword(request), effect).await?;
        expect!(reply, Reply::ChangePassword(_) => ())
    }

    /// Asks for a sign of life; returns the node's time.
    pub async fn ping(&self) -> Result<TimeMs, Error> {
        expect!(self.ask(Command::Ping(Ping {}), Effect::None).await?, Reply::Ping(pong) => pong.time)
    }

    /// Sends a message and waits for its ack. `qos` 1 is sent again, under the same mid, after a reconnect and after a
    /// retryable refusal; 0 ends with the connection.
    ///
    /// Errors: [`Error::Refused`] for good, [`Error::TimedOut`] after `send_timeout`, [`Error::Full`].
    pub async fn send(&self, to: Target, text: &str, qos: u8) -> Result<Acknowledged, Error> {
        self.send_as(self.handle.environment.uuid(), to, text, qos).await
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
        let mid = self.handle.environment.uuid();
        self.queue(mid, to, text, qos, None)?;
        Ok(mid)
    }

    /// [`Client::send_nowait`] under a mid of the caller's.
    pub fn send_nowait_as(&self, mid: Uuid, to: Target, text: &str, qos: u8) -> Result<(), Error> {
        self.queue(mid, to, text, qos, None)
    }

    fn queue(&self, mid: Uuid, to: Target, text: &str, qos: u8, waiter: super::outbox::Waiter) -> Result<(), Error> {
        let mut frame = Vec::with_capacity(text.len() + FRAME_OVERHEAD_BYTES);
        write_chat(mid, to, text, qos, &mut frame);
        let message = Unacked::new(mid, to, frame.into(), qos != 0, waiter);
        self.handle.shared.submit(Queued::Chat(message))
    }

    async fn ask(&self, request: Command, effect: Effect) -> Result<Reply, Error> {
        let (mid, mut frame) = (self.handle.environment.uuid(), Vec::new());
        request.write(Some(mid), &mut frame);
        let (waiter, receiver) = oneshot::channel();
        self.handle.shared.submit(Queued::Request(Ask { mid, frame, effect, waiter }))?;
        receiver.await.unwrap_or(Err(Error::Disconnected(Why::Ended)))
    }
}

/// What a chat frame takes beside its text, about.
const FRAME_OVERHEAD_BYTES: usize = 128;
