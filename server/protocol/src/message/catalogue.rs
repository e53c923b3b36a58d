//! All messages: their numbers and names, who says them, and which reply answers which request.
//!
//! A new request is a line of [`catalogue!`] here and its fields in a file beside this. From the line follow how nodes
//! tell it and answer it, how clients write it and read the reply, and its rows in PROTOCOL.md, which a test holds
//! against [`CATALOGUE`].

use super::account::{ChangePassword, NewToken, Register, Registered};
use super::chat::{Chat, ChatMessage, Push, Stored, write_chat};
use super::event::Event;
use super::fields::{Ask, Body, Nothing};
use super::friend::{AddFriend, Friend, FriendRemoved, RemoveFriend};
use super::group::{CreateGroup, GroupCreated, GroupLeft, JoinGroup, JoinedGroup, LeaveGroup};
use super::history::{History, Page};
use super::login::{Login, LoginAck, Logout};
use super::ping::{Ping, Pong, ServerTime};
use super::received::Received;
use super::roster::{AskRoster, Roster};
use crate::answer::Answer;
use crate::conversation::{Log, Target};
use crate::dialect::Dialect;
use crate::errno::{Errno, Failure};
use crate::framing::length::{Order, enclose};
use crate::reader::Reader;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

catalogue! {
    // Request (its fields)      = name and number     [number in the checked dialect] -> reply (its fields)
    Login(Login)                   = LOGIN 1           [1]  -> LOGIN_ACK 2 (Box<LoginAck>);
    Logout(Logout)                 = LOGOUT 3          [3]  -> LOGOUT_ACK 11 (Nothing);
    Register(Register)             = REGISTER 4        [4]  -> REGISTER_ACK 5 (Registered);
    AddFriend(AddFriend)           = ADD_FRIEND 7      [9]  -> ADD_FRIEND_ACK 13 (Friend);
    CreateGroup(CreateGroup)       = CREATE_GROUP 8    [10] -> CREATE_GROUP_ACK 14 (GroupCreated);
    JoinGroup(JoinGroup)           = ADD_GROUP 9       [11] -> ADD_GROUP_ACK 15 (JoinedGroup);
    Received(Received)             = RECEIVED 16       [];
    History(History)               = HISTORY 17        []   -> HISTORY_ACK 18 (Page<C, M>);
    Ping(Ping)                     = PING 19           []   -> 20 (ServerTime);
    Pong(Pong)                     = PONG 20           [];
    RemoveFriend(RemoveFriend)     = REMOVE_FRIEND 22  []   -> REMOVE_FRIEND_ACK 23 (FriendRemoved);
    LeaveGroup(LeaveGroup)         = LEAVE_GROUP 24    []   -> LEAVE_GROUP_ACK 25 (GroupLeft);
    Roster(AskRoster)              = ROSTER 26         []   -> ROSTER_ACK 27 (Box<Roster>);
    ChangePassword(ChangePassword) = CHANGE_PASSWORD 28 []  -> CHANGE_PASSWORD_ACK 29 (NewToken);
}

/// One message, in one direction.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub number: u64,
    pub name: &'static str,
    pub sender: Sender,
    pub fields: &'static [&'static str],
}

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Client,
    Node,
}

const fn entry(number: u64, name: &'static str, sender: Sender, fields: &'static [&'static str]) -> Entry {
    Entry { number, name, sender, fields }
}

fn one(numbers: &[u64]) -> Option<u64> {
    numbers.first().copied()
}

/// A request whose fields stand beside its number.
#[derive(Serialize)]
struct Asked<'a, T> {
    msgid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<Uuid>,
    #[serde(flatten)]
    fields: &'a T,
}

fn write<T: Serialize>(msgid: u64, mid: Option<Uuid>, fields: &T, out: &mut Vec<u8>) {
    enclose(out, Order::Big, |out| {
        serde_json::to_writer(out, &Asked { msgid, mid, fields }).expect("requests have string keys, memory takes all");
    });
}
