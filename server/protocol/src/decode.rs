//! The fields of one object to a typed request, the same for all dialects.
//!
//! Here end the checks of type and range; who may do what is the session's and the services' business. Fields that no
//! request of that kind has are ignored. The classic dialects ask for less (their clients leave things out), know no
//! `mid` and no `qos`, and say in a chat what time it is and what the sender is called.

use super::conversation::Target;
use super::dialect::Dialect;
use super::errno::{Errno, Failure};
use super::json::{Fields, Value};
use super::message::{Chat, Command, GroupPage, Incoming, Kind, Login, MidText, Proof, Request, Secret, SentAs, Who};
use super::reader::Whole;
use super::spelling::{Field, Spelling};
use std::borrow::Cow;
use std::ops::RangeInclusive;
use uuid::Uuid;

const PASSWORD_CHARACTERS: RangeInclusive<usize> = 1..=128;
const DESCRIPTION_CHARACTERS: RangeInclusive<usize> = 0..=200;
/// Messages in one HISTORY_ACK, users in one page of a group.
const PAGE: RangeInclusive<u32> = 1..=200;
const DEFAULT_HISTORY_PAGE: u32 = 50;
/// As many as LOGIN_ACK lists of one group.
const DEFAULT_GROUP_PAGE: u32 = 100;
/// The cap that asks for EVENT.
const EVENTS: &str = "events";

/// Reads one object. `Err` if it has no integer where the dialect says what kind of message it is: the connection
/// cannot go on.
pub fn read(dialect: Dialect, spelling: &mut Spelling, mut fields: Fields<'_>) -> Result<Incoming, Failure> {
    let number_field = dialect.number_field(spelling, &fields);
    let number =
        fields.get(number_field).and_then(Value::whole).ok_or_else(|| Failure::field(number_field, "an integer"))?;
    let kind = match number {
        Whole::Small(number) => dialect.kind_of(number),
        Whole::Negative | Whole::Large => Kind::Unknown,
    };
    let mid = if dialect == Dialect::Framed { fields.echoed_mid() } else { None };
    Ok(match request(&mut Names { dialect, spelling }, kind, mid, &mut fields) {
        Ok(request) => Incoming::Request(request),
        Err(failure) => Incoming::Refused { kind, mid, failure },
    })
}

/// The names of fields: the usual ones in our dialect, the client's own in the classic ones.
struct Names<'a> {
    dialect: Dialect,
    spelling: &'a mut Spelling,
}

impl Names<'_> {
    fn of(&mut self, field: Field, fields: &Fields<'_>) -> &'static str {
        match self.dialect {
            Dialect::Framed => field.names()[0],
            Dialect::Checked | Dialect::Bare => self.spelling.learn(field, fields),
        }
    }
}

fn request(
    names: &mut Names<'_>,
    kind: Kind,
    mid: Option<MidText>,
    fields: &mut Fields<'_>,
) -> Result<Request, Failure> {
    if kind == Kind::Unknown {
        return Err(Errno::UnknownMsgid.into());
    }
    if names.dialect == Dialect::Framed {
        fields.check_mid()?;
    }
    // A number too large to be one's own id is somebody else's.
    let claimed_id = match kind {
        Kind::Login => None,
        _ => fields.optional_id("id", Errno::NotAllowed)?,
    };
    Ok(Request { mid, claimed_id, command: command(names, kind, fields)? })
}

fn command(names: &mut Names<'_>, kind: Kind, fields: &mut Fields<'_>) -> Result<Command, Failure> {
    let dialect = names.dialect;
    Ok(match kind {
        Kind::Unknown => return Err(Errno::UnknownMsgid.into()),
        Kind::Login => Command::Login(login(dialect, fields)?),
        Kind::Logout => Command::Logout { revoke: fields.flag("revoke")? },
        Kind::Register => {
            Command::Register { name: fields.new_user_name("name")?, password: password(fields, "password")? }
        }
        Kind::OneChat => chat(dialect, Target::User(user(names, Field::Toid, fields)?), fields)?,
        Kind::GroupChat => chat(dialect, Target::Group(group(names, fields)?), fields)?,
        Kind::AddFriend => Command::AddFriend { friend: user(names, Field::Friendid, fields)? },
        Kind::CreateGroup => create_group(names, fields)?,
        Kind::JoinGroup => Command::JoinGroup { group: group(names, fields)? },
        Kind::Received => received(fields)?,
        Kind::History => history(names, fields)?,
        Kind::Ping => Command::Ping,
        Kind::Pong => Command::Pong,
        Kind::RemoveFriend => Command::RemoveFriend { friend: user(names, Field::Friendid, fields)? },
        Kind::LeaveGroup => Command::LeaveGroup { group: group(names, fields)? },
        Kind::Roster => Command::Roster { page: group_page(fields)? },
        Kind::ChangePassword => {
            Command::ChangePassword { old: password(fields, "old")?, new: password(fields, "new")? }
        }
    })
}

fn user(names: &mut Names<'_>, field: Field, fields: &Fields<'_>) -> Result<u64, Failure> {
    fields.id(names.of(field, fields), Errno::NoSuchUser)
}

fn group(names: &mut Names<'_>, fields: &Fields<'_>) -> Result<u64, Failure> {
    fields.id(names.of(Field::Groupid, fields), Errno::NoSuchGroup)
}

fn password(fields: &mut Fields<'_>, name: &str) -> Result<Secret, Failure> {
    fields.text_within(name, PASSWORD_CHARACTERS).map(Secret)
}

fn login(dialect: Dialect, fields: &mut Fields<'_>) -> Result<Login, Failure> {
    let framed = dialect == Dialect::Framed;
    let who = match (fields.has("id"), fields.has("name")) {
        (true, true) if framed => return Err(Failure::field("name", "no name beside id")),
        (false, true) => Who::Name(fields.name("name")?),
        (true, _) => Who::Id(fields.id("id", Errno::WrongCredentials)?),
        (false, false) => return Err(Failure::field("id", "id or name")),
    };
    let proof = match (fields.has("password"), fields.has("token")) {
        (true, true) if framed => return Err(Failure::field("token", "no token beside password")),
        (false, true) => Proof::Token(Secret(fields.text("token")?)),
        (true, _) => Proof::Password(password(fields, "password")?),
        (false, false) => return Err(Failure::field("password", "password or token")),
    };
    // Any version is welcome: LOGIN_ACK says which one the node speaks.
    if framed && !matches!(fields.get("v").map(Value::whole), None | Some(Some(Whole::Small(1..) | Whole::Large))) {
        return Err(Failure::field("v", "a positive integer"));
    }
    Ok(Login {
        who,
        proof,
        takeover: fields.flag("takeover")?,
        events: framed && fields.lists("caps", EVENTS)?,
        acknowledges: framed,
    })
}

fn chat(dialect: Dialect, to: Target, fields: &mut Fields<'_>) -> Result<Command, Failure> {
    let msg = fields.text("msg")?;
    if dialect != Dialect::Framed {
        return Ok(Command::Chat(Chat { to, msg, stored: true, mid: Uuid::now_v7(), sent_as: sent_as(fields) }));
    }
    let mid = match fields.get("mid") {
        Some(Value::Str(text)) => Uuid::try_parse(text).ok(),
        _ => None,
    }
    .ok_or_else(|| Failure::field("mid", "a UUID"))?;
    let stored = fields.integer("qos", 0..=1, 1)? == 1;
    Ok(Command::Chat(Chat { to, msg, stored, mid, sent_as: None }))
}

fn sent_as(fields: &mut Fields<'_>) -> Option<Box<SentAs>> {
    let name = fields.optional_text("name").map(Cow::into_owned);
    let time = fields.optional_text("time").map(Cow::into_owned);
    (name.is_some() || time.is_some()).then(|| Box::new(SentAs { name, time }))
}

fn create_group(names: &mut Names<'_>, fields: &mut Fields<'_>) -> Result<Command, Failure> {
    let name = fields.new_group_name(names.of(Field::Groupname, fields))?;
    let described = names.of(Field::Groupdesc, fields);
    let description = if names.dialect != Dialect::Framed && !fields.has(described) {
        String::new()
    } else {
        fields.text_within(described, DESCRIPTION_CHARACTERS)?
    };
    Ok(Command::CreateGroup { name, description })
}

fn received(fields: &mut Fields<'_>) -> Result<Command, Failure> {
    let log = fields.text("conv")?.parse().ok();
    let seq = fields.position("seq")?.ok_or_else(|| Failure::field("seq", "an integer from 0"))?;
    Ok(Command::Received { log, seq })
}

fn history(names: &mut Names<'_>, fields: &Fields<'_>) -> Result<Command, Failure> {
    let of = match (fields.has("toid"), fields.has("groupid")) {
        (true, true) => return Err(Failure::field("groupid", "no groupid beside toid")),
        (true, false) => Target::User(user(names, Field::Toid, fields)?),
        (false, true) => Target::Group(group(names, fields)?),
        (false, false) => return Err(Failure::field("toid", "toid or groupid")),
    };
    let before = fields.position("before")?;
    Ok(Command::History { of, before, limit: fields.integer("limit", PAGE, DEFAULT_HISTORY_PAGE)? })
}

fn group_page(fields: &Fields<'_>) -> Result<Option<GroupPage>, Failure> {
    let Some(group) = fields.optional_id("groupid", Errno::NoSuchGroup)? else { return Ok(None) };
    let after = fields.position("after")?.unwrap_or(0);
    Ok(Some(GroupPage { group, after, limit: fields.integer("limit", PAGE, DEFAULT_GROUP_PAGE)? }))
}
