//! The wire of a classic server, as its [`Profile`] describes it.
//!
//! Nothing here is measured by acknowledgements, also where the server sends some: they name no message. What counts is
//! what arrives.

use super::object::{Object, write};
use super::{Ask, Chat, Incoming, Login, Push, Refusal, Welcome, Wire};
use crate::dialect::profile::{Done, Framing, Lists, LoginBy, Profile, Request};
use chat_protocol::conversation::Target;
use chat_protocol::errno::Errno;
use chat_protocol::framing::length::{self, Order};
use chat_protocol::framing::{Cut, Error, bare, checked};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;
use uuid::Uuid;

/// Longer than any lawful message: the login of somebody who was away for long.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
const TIME_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// A classic dialect.
#[derive(Clone, Debug)]
pub struct Classic {
    profile: Profile,
}

impl Classic {
    pub fn new(profile: Profile) -> Classic {
        Classic { profile }
    }

    /// Writes a frame around what `payload` writes.
    pub(crate) fn enclose(&self, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
        match self.profile.framing {
            Framing::Bare => payload(out),
            Framing::BareNul => {
                payload(out);
                out.push(0);
            }
            Framing::LengthBig => length::enclose(out, Order::Big, payload),
            Framing::LengthLittle => length::enclose(out, Order::Little, payload),
            Framing::Checked => checked::enclose(out, payload),
        }
    }

    fn result(&self, object: &Object<'_>) -> Result<(), Refusal> {
        let fields = &self.profile.fields;
        let value = object.raw(&fields.result).map_or("", RawValue::get);
        let done = match &self.profile.done {
            Done::Flag(flag) => value == if *flag { "true" } else { "false" },
            Done::Number(number) => value.trim_matches('"').parse() == Ok(*number),
            Done::Text(text) => object.text(&fields.result).as_deref() == Some(text),
        };
        if done {
            return Ok(());
        }
        let text = object.text(&fields.reason).or_else(|| object.text(&fields.text));
        let text = match (text, value) {
            (Some(text), _) => text.into_owned(),
            (None, "") => format!("an answer without {:?}: {}", fields.result, object.shown()),
            (None, value) => format!("{} is {value}: {}", fields.result, object.shown()),
        };
        let code = value.trim_matches('"').parse().unwrap_or(0);
        Err(Refusal { code, text, retry_ms: None, retryable: false })
    }

    fn welcome(&self, object: &Object<'_>) -> Result<Welcome, String> {
        let fields = &self.profile.fields;
        let messages = self.entries(object, object.spelled(&fields.offline))?.unwrap_or_default();
        let listed = self.entries(object, object.spelled(&fields.groups))?.unwrap_or_default();
        let mut groups = Vec::with_capacity(listed.len());
        for group in &listed {
            let group = Object::parse(group.as_bytes())?;
            let name = group.text(group.spelled(&fields.listed_name));
            // Some list a group's id under the name that requests have for it.
            let id = group.number(&fields.id).or_else(|| group.number(group.spelled(&fields.group)));
            if let Some((name, id)) = name.zip(id) {
                groups.push((name.into_owned(), id));
            }
        }
        Ok(Welcome {
            id: object.number(&fields.id).unwrap_or(0),
            waiting: messages.len() as u64,
            messages: messages.into_iter().map(Cow::into_owned).collect(),
            groups,
            ..Welcome::default()
        })
    }

    /// The entries of a list as the JSON of objects.
    fn entries<'a>(&self, object: &Object<'a>, name: &str) -> Result<Option<Vec<Cow<'a, str>>>, String> {
        let Some(list) = object.list(name)? else { return Ok(None) };
        let entry = |value: &'a RawValue| match (self.profile.lists, value.get().starts_with('"')) {
            (Lists::Objects, false) => Ok(Cow::Borrowed(value.get())),
            (Lists::Strings, true) => {
                serde_json::from_str::<String>(value.get()).map(Cow::Owned).map_err(|error| format!("{name}: {error}"))
            }
            (Lists::Objects, true) => Err(format!("{name} holds strings, where the profile says lists = \"objects\"")),
            (Lists::Strings, false) => {
                Err(format!("{name} holds no strings, where the profile says lists = \"strings\""))
            }
        };
        list.into_iter().map(entry).collect::<Result<_, _>>().map(Some)
    }

    fn push<'a>(&self, object: &Object<'a>, text: Cow<'a, str>) -> Push<'a> {
        let fields = &self.profile.fields;
        let group = object.number(&fields.group).map(Target::Group);
        Push {
            from: object.number(&fields.from).unwrap_or(0),
            target: group.or_else(|| object.number(&fields.to).map(Target::User)),
            text,
            conv: Cow::Borrowed(""),
            seq: 0,
            time: 0,
            mid: None,
        }
    }

    /// What answers a request of this kind, if the profile knows it.
    fn answered_by(&self, number: u64) -> Option<Request> {
        let types = &self.profile.types;
        self.profile.answered.iter().copied().find(|request| types.answer_to(*request) == Some(number))
    }

    fn answer<'a>(&self, request: Request, object: &Object<'a>) -> Result<Incoming<'a>, String> {
        let fields = &self.profile.fields;
        let result = self.result(object);
        Ok(match request {
            Request::Login => match result {
                Ok(()) => Incoming::Welcome(Box::new(self.welcome(object)?)),
                Err(refusal) => Incoming::LoginRefused(refusal),
            },
            Request::Chat | Request::GroupChat => Incoming::Settled { mid: None, place: None, result },
            Request::Register => {
                let result = result.map(|()| object.number(&fields.id).unwrap_or(0));
                Incoming::Answer { mid: None, result: result.map_err(|refusal| self.register_refused(refusal)) }
            }
            _ => {
                let made = object.number(&fields.group).or_else(|| object.number(&fields.id)).unwrap_or(0);
                Incoming::Answer { mid: None, result: result.map(|()| made) }
            }
        })
    }

    /// Who logs in by name needs nothing from a registration that failed because the name exists, and no code tells
    /// that; the login will show whether it was that.
    fn register_refused(&self, refusal: Refusal) -> Refusal {
        match self.profile.login_by {
            LoginBy::Name => Refusal { code: u64::from(Errno::Exists.code()), ..refusal },
            LoginBy::Id => refusal,
        }
    }
}

/// What is wrong with the front of `bytes`, and how they begin.
fn explain(error: &Error, bytes: &[u8]) -> String {
    let front = |length| &bytes[..bytes.len().min(length)];
    match error {
        Error::NoObject => {
            let separators = bytes.iter().take_while(|byte| **byte == 0 || byte.is_ascii_whitespace()).count();
            let begin = &bytes[separators..];
            let begin = String::from_utf8_lossy(&begin[..begin.len().min(16)]);
            format!("{error}: {begin:?}")
        }
        Error::NoMarker => format!("{error}, but {:02x?}", front(2)),
        Error::Empty | Error::TooLong { .. } => {
            let length = error.announced_bytes().unwrap_or_default();
            format!("a frame of {length} bytes, begun with {:02x?}", front(length::HEADER_BYTES))
        }
        other => other.to_string(),
    }
}

impl Wire for Classic {
    fn split(&self, bytes: &[u8]) -> Result<Option<(Range<usize>, usize)>, String> {
        let found = match self.profile.framing {
            Framing::Bare | Framing::BareNul => bare::cut(bytes, MAX_MESSAGE_BYTES),
            Framing::LengthBig => length::cut(bytes, Order::Big, MAX_MESSAGE_BYTES),
            Framing::LengthLittle => length::cut(bytes, Order::Little, MAX_MESSAGE_BYTES),
            Framing::Checked => checked::cut(bytes, MAX_MESSAGE_BYTES),
        };
        let found = found.map_err(|error| explain(&error, bytes))?;
        Ok(found.map(|Cut { payload, end }| (payload, end)))
    }

    fn read<'a>(&self, payload: &'a [u8]) -> Result<Incoming<'a>, String> {
        let object = Object::parse(payload)?;
        let key = &self.profile.type_key;
        let number = object.number(key).ok_or_else(|| format!("a message without {key:?}"))?;
        let types = &self.profile.types;
        if let Some(request) = self.answered_by(number) {
            return self.answer(request, &object);
        }
        if [types.chat, types.group_chat].contains(&number)
            && let Some(text) = object.text(&self.profile.fields.text)
        {
            return Ok(Incoming::Push(self.push(&object, text)));
        }
        Ok(Incoming::Other)
    }

    fn login(&self, login: Login<'_>, out: &mut Vec<u8>) {
        let Profile { type_key, types, fields, .. } = &self.profile;
        self.enclose(out, |out| match self.profile.login_by {
            LoginBy::Id => write(
                out,
                &[(type_key, &types.login), (&fields.id, &login.id.unwrap_or(0)), (&fields.password, &login.password)],
            ),
            LoginBy::Name => write(
                out,
                &[(type_key, &types.login), (&fields.name, &login.name), (&fields.password, &login.password)],
            ),
        });
    }

    fn chat(&self, chat: Chat<'_>, out: &mut Vec<u8>) {
        let Profile { type_key, types, fields, .. } = &self.profile;
        let (number, to, whom) = match chat.to {
            Target::User(id) => (types.chat, &fields.to, id),
            Target::Group(id) => (types.group_chat, &fields.group, id),
        };
        let time = jiff::Timestamp::now().strftime(TIME_FORMAT).to_string();
        self.enclose(out, |out| {
            write(
                out,
                &[
                    (type_key, &number),
                    (&fields.from, &chat.from),
                    (&fields.name, &chat.from_name),
                    (to, &whom),
                    (&fields.text, &chat.text),
                    (&fields.time, &time),
                ],
            );
        });
    }

    fn ask(&self, id: u64, ask: Ask<'_>, _mid: Uuid, out: &mut Vec<u8>) {
        let Profile { type_key, types, fields, .. } = &self.profile;
        let own: &str = &fields.id;
        self.enclose(out, |out| match ask {
            Ask::Register { name, password } => {
                write(out, &[(type_key, &types.register), (&fields.name, &name), (&fields.password, &password)]);
            }
            Ask::AddFriend { friend } => {
                write(out, &[(type_key, &types.add_friend), (own, &id), (&fields.friend, &friend)]);
            }
            Ask::CreateGroup { name } => write(
                out,
                &[(type_key, &types.create_group), (own, &id), (&fields.group_name, &name), (&fields.group_desc, &"")],
            ),
            Ask::JoinGroup { group } => {
                write(out, &[(type_key, &types.join_group), (own, &id), (&fields.group, &group)]);
            }
            Ask::Logout => write(out, &[(type_key, &types.logout), (own, &id)]),
        });
    }

    fn received(&self, _conv: &str, _seq: u64, _out: &mut Vec<u8>) {}

    fn pong(&self, _out: &mut Vec<u8>) {}

    fn acknowledges(&self) -> bool {
        false
    }

    fn answers(&self, ask: &Ask<'_>) -> bool {
        self.profile.answers(match ask {
            Ask::Register { .. } => Request::Register,
            Ask::AddFriend { .. } => Request::AddFriend,
            Ask::CreateGroup { .. } => Request::CreateGroup,
            Ask::JoinGroup { .. } => Request::JoinGroup,
            Ask::Logout => Request::Logout,
        })
    }

    fn profile(&self) -> Option<&Profile> {
        Some(&self.profile)
    }
}

#[cfg(test)]
mod tests;
