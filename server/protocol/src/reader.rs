//! Typed access to the fields of a request, the same for all dialects.
//!
//! A field that is there but of the wrong type or out of range is errno 4, naming the field and what was expected.
//! Numbers too large for an id are no malformed ids but ids of nobody, however large: they get the errno for that.
//! Fields that no request of that kind has are ignored.

use crate::conversation::MAX_ID;
use crate::dialect::Dialect;
use crate::errno::{Errno, Failure};
use crate::json::{Fields, Value};
use crate::mid::{MAX_MID_BYTES, MidText};
use crate::name::{self, Objection};
use crate::secret::Secret;
use crate::spelling::{Field, Spelling};
use std::ops::RangeInclusive;

const PASSWORD_CHARACTERS: RangeInclusive<usize> = 1..=128;

/// The fields of one request. Those that clients spell in several ways are found under any of their names.
pub struct Reader<'r, 'a> {
    pub dialect: Dialect,
    pub spelling: &'r mut Spelling,
    pub fields: Fields<'a>,
}

/// An integer as far as ids and positions can tell integers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    Negative,
    /// Below [`MAX_ID`].
    Small(u64),
    /// From [`MAX_ID`] on, without end.
    Large,
}

impl Value<'_> {
    /// The integer this is, if it is one. Every float from 2^53 on is an integer; those below are not taken for one.
    pub fn whole(&self) -> Option<Whole> {
        const LARGE: f64 = MAX_ID as f64;
        match *self {
            Value::UInt(number) if number < MAX_ID => Some(Whole::Small(number)),
            Value::UInt(_) => Some(Whole::Large),
            Value::Int(_) => Some(Whole::Negative),
            Value::Float(number) if number >= LARGE => Some(Whole::Large),
            Value::Float(number) if number <= -LARGE => Some(Whole::Negative),
            _ => None,
        }
    }
}

impl<'a> Reader<'_, 'a> {
    /// Whether the request came in our own dialect. The classic ones ask for less: their clients leave things out.
    pub fn is_framed(&self) -> bool {
        self.dialect == Dialect::Framed
    }

    /// What this client calls `field`.
    pub fn spelled(&mut self, field: Field) -> &'static str {
        if self.is_framed() { field.names()[0] } else { self.spelling.learn(field, &self.fields) }
    }

    pub fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some()
    }

    /// The number of somebody.
    pub fn user(&mut self, field: Field) -> Result<u64, Failure> {
        let name = self.spelled(field);
        self.id(name, Errno::NoSuchUser)
    }

    /// The number of a group.
    pub fn group(&mut self) -> Result<u64, Failure> {
        let name = self.spelled(Field::Groupid);
        self.id(name, Errno::NoSuchGroup)
    }

    /// A positive integer; one that is too large to be anybody's is refused with `unknown`.
    pub fn optional_id(&self, name: &str, unknown: Errno) -> Result<Option<u64>, Failure> {
        match self.fields.get(name).map(Value::whole) {
            None => Ok(None),
            Some(Some(Whole::Small(id @ 1..))) => Ok(Some(id)),
            Some(Some(Whole::Large)) => Err(unknown.into()),
            Some(_) => Err(Failure::field(name, "a positive integer")),
        }
    }

    pub fn id(&self, name: &str, unknown: Errno) -> Result<u64, Failure> {
        self.optional_id(name, unknown)?.ok_or_else(|| Failure::field(name, "a positive integer"))
    }

    /// A place in a list, from 0; past [`MAX_ID`], where nothing can stand, it counts as [`MAX_ID`].
    pub fn optional_position(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.fields.get(name).map(Value::whole) {
            None => Ok(None),
            Some(Some(Whole::Small(position))) => Ok(Some(position)),
            Some(Some(Whole::Large)) => Ok(Some(MAX_ID)),
            Some(_) => Err(Failure::field(name, "an integer from 0")),
        }
    }

    pub fn position(&self, name: &str) -> Result<u64, Failure> {
        self.optional_position(name)?.ok_or_else(|| Failure::field(name, "an integer from 0"))
    }

    /// An integer within `range`, or `default` if it is not there.
    pub fn integer(&self, name: &str, range: RangeInclusive<u32>, default: u32) -> Result<u32, Failure> {
        let Some(value) = self.fields.get(name) else { return Ok(default) };
        match value.whole() {
            Some(Whole::Small(number)) => u32::try_from(number).ok().filter(|number| range.contains(number)),
            _ => None,
        }
        .ok_or_else(|| Failure::field(name, &format!("an integer from {} to {}", range.start(), range.end())))
    }

    /// `false` if it is not there.
    pub fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.fields.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Failure::field(name, "true or false")),
        }
    }

    /// Whether the list `name` holds `word`; a list that is not there holds nothing.
    pub fn lists(&self, name: &str, word: &str) -> Result<bool, Failure> {
        match self.fields.get(name) {
            None => Ok(false),
            Some(Value::Strings(words)) => Ok(words.iter().any(|listed| listed == word)),
            Some(_) => Err(Failure::field(name, "a list of strings")),
        }
    }

    /// Any text, taken out of the fields.
    pub fn text(&mut self, name: &str) -> Result<String, Failure> {
        self.optional_text(name).ok_or_else(|| Failure::field(name, "a string"))
    }

    /// Any text, taken out of the fields; what is no text counts as not there.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        match self.fields.take(name) {
            Some(Value::Str(text)) => Some(text.into_owned()),
            _ => None,
        }
    }

    /// A text of so many characters, taken out of the fields.
    pub fn text_within(&mut self, name: &str, characters: RangeInclusive<usize>) -> Result<String, Failure> {
        self.optional_text(name).filter(|text| characters.contains(&text.chars().count())).ok_or_else(|| {
            Failure::field(name, &format!("a string of {} to {} characters", characters.start(), characters.end()))
        })
    }

    pub fn password(&mut self, name: &str) -> Result<Secret, Failure> {
        self.text_within(name, PASSWORD_CHARACTERS).map(Secret)
    }

    /// A user's or group's name in its one spelling.
    pub fn name(&self, name: &str) -> Result<String, Failure> {
        match self.fields.get(name) {
            Some(Value::Str(text)) => name::normalise(text),
            _ => None,
        }
        .ok_or_else(|| Failure::field(name, name::LAWFUL))
    }

    /// The name of a user that is to be.
    pub fn new_user_name(&self, field: &str) -> Result<String, Failure> {
        self.new_name(field, name::objection_to_user)
    }

    /// The name of a group that is to be.
    pub fn new_group_name(&mut self) -> Result<String, Failure> {
        let field = self.spelled(Field::Groupname);
        self.new_name(field, name::objection_to_group)
    }

    fn new_name(&self, field: &str, objection: fn(&str) -> Option<Objection>) -> Result<String, Failure> {
        let name = self.name(field)?;
        objection(&name).map_or(Ok(name), |objection| Err(Failure::field(field, &objection.expected())))
    }

    /// The `mid`, if it is one that can be echoed.
    pub fn echoed_mid(&self) -> Option<MidText> {
        match self.fields.get("mid") {
            Some(Value::Str(text)) => MidText::new(text),
            _ => None,
        }
    }

    /// Fails if there is a `mid` that cannot be echoed.
    pub fn check_mid(&self) -> Result<(), Failure> {
        if self.has("mid") && self.echoed_mid().is_none() {
            return Err(Failure::field("mid", &format!("a string of at most {MAX_MID_BYTES} bytes")));
        }
        Ok(())
    }
}
