//! What differs among the classic family's servers, as a small TOML file: framing, numbers, names, and what is
//! answered.
//!
//! A few profiles are shipped; users describe their own server by what differs from the classic course layout, since
//! every key that is left out is as there. A key that does not exist is an error that names the nearest one that does.

mod course;
mod keys;

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The profiles that need no file, by name. The first is what `--dialect bare` means.
pub const SHIPPED: [(&str, &str); 9] = [
    ("course", include_str!("../../../profiles/course.toml")),
    ("course_to", include_str!("../../../profiles/course_to.toml")),
    ("logout_last", include_str!("../../../profiles/logout_last.toml")),
    ("logout_last_to", include_str!("../../../profiles/logout_last_to.toml")),
    ("register_second", include_str!("../../../profiles/register_second.toml")),
    ("register_second_to", include_str!("../../../profiles/register_second_to.toml")),
    ("camel", include_str!("../../../profiles/camel.toml")),
    ("camel_logout_last", include_str!("../../../profiles/camel_logout_last.toml")),
    ("checked", include_str!("../../../profiles/checked.toml")),
];

/// How one message is told from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// Objects one after the other.
    Bare,
    /// The same, and what the client says ends with a NUL.
    BareNul,
    LengthBig,
    LengthLittle,
    /// Marker, length, object, checksum.
    Checked,
}

/// What lists in a login's answer are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lists {
    /// Strings that hold JSON.
    Strings,
    Objects,
}

/// What users log in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginBy {
    Id,
    Name,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Request {
    Login,
    Logout,
    Register,
    Chat,
    GroupChat,
    AddFriend,
    CreateGroup,
    JoinGroup,
}

/// The value that means done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Done {
    Flag(bool),
    Number(i64),
    Text(String),
}

/// The numbers of the message types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Types {
    pub login: u64,
    pub login_ack: u64,
    pub logout: u64,
    pub logout_ack: Option<u64>,
    pub register: u64,
    pub register_ack: u64,
    pub chat: u64,
    pub chat_ack: Option<u64>,
    pub group_chat: u64,
    pub group_chat_ack: Option<u64>,
    pub add_friend: u64,
    pub add_friend_ack: Option<u64>,
    pub create_group: u64,
    pub create_group_ack: Option<u64>,
    pub join_group: u64,
    pub join_group_ack: Option<u64>,
}

/// The names of the fields, as `profiles/course.toml` explains them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    pub id: String,
    pub from: String,
    pub name: String,
    pub password: String,
    pub to: String,
    pub group: String,
    pub friend: String,
    pub group_name: String,
    pub group_desc: String,
    pub listed_name: String,
    pub text: String,
    pub time: String,
    pub result: String,
    pub reason: String,
    pub offline: String,
    pub friends: String,
    pub groups: String,
}

/// One server of the family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    pub description: String,
    pub framing: Framing,
    pub type_key: String,
    pub done: Done,
    pub lists: Lists,
    pub login_by: LoginBy,
    pub answered: Vec<Request>,
    pub outstanding: u32,
    pub types: Types,
    pub fields: Fields,
}

/// Why a profile cannot be used. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no profile {name:?}: neither a file nor one of {}", SHIPPED.map(|(name, _)| name).join(", "))]
    Unknown { name: String },
    #[error("cannot read the profile {}: {cause}", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("profile {name}: {reason}")]
    Invalid { name: String, reason: String },
}

impl Profile {
    /// The shipped profile of this name, or else the file.
    pub fn find(name: &str) -> Result<Profile, Error> {
        let invalid = |reason| Error::Invalid { name: name.to_owned(), reason };
        if let Some((_, text)) = SHIPPED.iter().find(|(known, _)| *known == name) {
            return Profile::parse(text).map_err(invalid);
        }
        match std::fs::read_to_string(name) {
            Ok(text) => Profile::parse(&text).map_err(invalid),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !looks_like_a_file(name) => {
                Err(Error::Unknown { name: name.to_owned() })
            }
            Err(cause) => Err(Error::Read { path: name.into(), cause }),
        }
    }

    /// Reads a profile. Errors: what is wrong, in words.
    pub fn parse(text: &str) -> Result<Profile, String> {
        let table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
        keys::check(&table)?;
        // Read from the text, not the table: that error says the line.
        let profile: Profile = toml::from_str(text).map_err(|error| error.to_string())?;
        profile.validate()?;
        Ok(profile)
    }

    /// Whether this kind of request is answered.
    pub fn answers(&self, request: Request) -> bool {
        self.answered.contains(&request)
    }

    fn validate(&self) -> Result<(), String> {
        if self.outstanding == 0 {
            return Err("outstanding should be at least 1".into());
        }
        if !self.answers(Request::Login) {
            return Err("answered lacks login: without an answer nobody knows who is there".into());
        }
        if self.login_by == LoginBy::Id && !self.answers(Request::Register) {
            return Err("answered lacks register: users who log in by id learn it there".into());
        }
        for request in &self.answered {
            if self.types.answer_to(*request).is_none() {
                return Err(format!("answered has {request}, but there is no types.{request}_ack"));
            }
        }
        self.types.validate()?;
        self.fields.validate(&self.type_key)
    }
}

fn looks_like_a_file(name: &str) -> bool {
    name.contains(std::path::MAIN_SEPARATOR) || Path::new(name).extension().is_some()
}

impl Types {
    /// The number of the answer, where there is one.
    pub fn answer_to(&self, request: Request) -> Option<u64> {
        match request {
            Request::Login => Some(self.login_ack),
            Request::Register => Some(self.register_ack),
            Request::Logout => self.logout_ack,
            Request::Chat => self.chat_ack,
            Request::GroupChat => self.group_chat_ack,
            Request::AddFriend => self.add_friend_ack,
            Request::CreateGroup => self.create_group_ack,
            Request::JoinGroup => self.join_group_ack,
        }
    }

    /// No number may mean two things in one direction. A request may be answered under its own number.
    fn validate(&self) -> Result<(), String> {
        let numbers = serde_json::to_value(self).map_err(|error| error.to_string())?;
        let numbers =
            || numbers.as_object().into_iter().flatten().map(|(name, number)| (name.as_str(), number.as_u64()));
        let is_answer = |name: &str| name.ends_with("_ack");
        distinct(numbers().filter(|(name, _)| !is_answer(name)))?;
        distinct(numbers().filter(|(name, _)| is_answer(name) || ["chat", "group_chat"].contains(name)))
    }
}

fn distinct<'a>(numbers: impl Iterator<Item = (&'a str, Option<u64>)>) -> Result<(), String> {
    let mut seen: HashMap<u64, &str> = HashMap::new();
    for (name, number) in numbers {
        let Some(number) = number else { continue };
        if let Some(other) = seen.insert(number, name) {
            return Err(format!("types.{other} and types.{name} are both {number}"));
        }
    }
    Ok(())
}

impl Fields {
    /// These may be left out of messages.
    const OPTIONAL: [&str; 6] = ["time", "reason", "offline", "friends", "groups", "group_desc"];

    fn validate(&self, type_key: &str) -> Result<(), String> {
        let names = serde_json::to_value(self).map_err(|error| error.to_string())?;
        for (key, name) in names.as_object().into_iter().flatten() {
            if name == type_key {
                return Err(format!("fields.{key} and type_key are both {type_key:?}"));
            }
            if name == "" && !Self::OPTIONAL.contains(&key.as_str()) {
                return Err(format!("fields.{key} is empty, and every server needs one"));
            }
        }
        if type_key.is_empty() { Err("type_key is empty".into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
