//! What a node says in the bare dialect: each object ends with a NUL, which C strings and old parsers take for the end.

use super::classic::{ChatLine, strings};
use crate::conversation::{Target, UserId};
use crate::errno::{Errno, Failure};
use crate::message::{ChatMessage, Group, Kind, LoginAck, Outgoing, Registered, Reply, TimeMs, msgid};
use crate::spelling::{Field, Spelling};
use bytes::{BufMut, BytesMut};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

pub fn encode(message: &Outgoing<'_>, spelling: Spelling, out: &mut BytesMut) {
    match message {
        Outgoing::Push(message) => object(&line(message, spelling), out),
        Outgoing::Reply { kind, time, result, .. } => match result {
            Ok(Reply::Login(ack)) => object(&LoginDone { ack, spelling }, out),
            Ok(Reply::Register(Registered { id })) => object(&RegisterDone { id: *id, spelling }, out),
            Ok(_) => {}
            Err(failure) => encode_failure(*kind, (failure, *time), spelling, out),
        },
        Outgoing::Notice(_) | Outgoing::Ping | Outgoing::Event(_) => {}
    }
}

fn encode_failure(kind: Kind, (failure, time): (&Failure, TimeMs), spelling: Spelling, out: &mut BytesMut) {
    let msgid = match kind {
        Kind::Login => msgid::LOGIN_ACK,
        Kind::Register => msgid::REGISTER_ACK,
        _ => {
            let number = (spelling.name(Field::Msgid), msgid::ONE_CHAT);
            return object(&ChatLine::from_server(&failure.text, time, spelling, number), out);
        }
    };
    object(&Failed { msgid, failure, spelling }, out);
}

fn line(message: &ChatMessage, spelling: Spelling) -> ChatLine<'_> {
    let name = spelling.name(Field::Msgid);
    ChatLine::of(message, spelling, |to| match to {
        Target::User(_) => (name, msgid::ONE_CHAT),
        Target::Group(_) => (name, msgid::GROUP_CHAT),
    })
}

fn object<T: Serialize>(object: &T, out: &mut BytesMut) {
    serde_json::to_writer((&mut *out).writer(), object).expect("messages have string keys and a buffer takes all");
    out.put_u8(0);
}

// Written by hand, since the client decides what the fields are called.

struct Failed<'a> {
    msgid: u64,
    failure: &'a Failure,
    spelling: Spelling,
}

impl Serialize for Failed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Failed", 3)?;
        object.serialize_field(self.spelling.name(Field::Msgid), &self.msgid)?;
        object.serialize_field("errno", &self.failure.errno.code())?;
        object.serialize_field("errmsg", &self.failure.text)?;
        object.end()
    }
}

struct RegisterDone {
    id: UserId,
    spelling: Spelling,
}

impl Serialize for RegisterDone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("RegisterDone", 3)?;
        object.serialize_field(self.spelling.name(Field::Msgid), &msgid::REGISTER_ACK)?;
        object.serialize_field("errno", &Errno::Done.code())?;
        object.serialize_field("id", &self.id)?;
        object.end()
    }
}

struct LoginDone<'a> {
    ack: &'a LoginAck,
    spelling: Spelling,
}

impl Serialize for LoginDone<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let LoginDone { ack, spelling } = *self;
        let mut object = serializer.serialize_struct("LoginDone", 7)?;
        object.serialize_field(spelling.name(Field::Msgid), &msgid::LOGIN_ACK)?;
        object.serialize_field("errno", &Errno::Done.code())?;
        object.serialize_field("id", &ack.id)?;
        object.serialize_field("name", &ack.name)?;
        if !ack.waiting.is_empty() {
            let lines = ack.waiting.iter().map(|message| line(message, spelling));
            object.serialize_field("offlinemsg", &strings(lines))?;
        }
        if !ack.roster.friends.is_empty() {
            object.serialize_field("friends", &strings(&ack.roster.friends))?;
        }
        if !ack.roster.groups.is_empty() {
            let groups = ack.roster.groups.iter().map(|group| GroupEntry { group, spelling });
            object.serialize_field("groups", &strings(groups))?;
        }
        object.end()
    }
}

struct GroupEntry<'a> {
    group: &'a Group,
    spelling: Spelling,
}

impl Serialize for GroupEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("GroupEntry", 4)?;
        object.serialize_field("id", &self.group.id)?;
        object.serialize_field(self.spelling.name(Field::Groupname), &self.group.groupname)?;
        object.serialize_field(self.spelling.name(Field::Groupdesc), &self.group.groupdesc)?;
        object.serialize_field("users", &strings(&self.group.users))?;
        object.end()
    }
}
