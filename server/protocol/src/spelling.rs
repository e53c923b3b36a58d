//! How a classic client spells the names of fields that its family spells in several ways.
//!
//! The course's clients say `toid`; many of their descendants say `to`, `msgId` or `friend_id`. Each field is taken
//! under any of its names, and what a client used last on its connection is how it is answered.

use super::json::Fields;
use std::sync::atomic::{AtomicU16, Ordering};

/// A field that clients spell in several ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Msgid,
    Toid,
    Friendid,
    Groupid,
    Groupname,
    Groupdesc,
}

impl Field {
    /// The usual name first. Where an object has several of them, the first in this order is the field, and the others
    /// are fields that nobody knows.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Field::Msgid => &["msgid", "msgId", "msg_id"],
            Field::Toid => &["toid", "to", "toId", "to_id"],
            Field::Friendid => &["friendid", "friendId", "friend_id"],
            Field::Groupid => &["groupid", "groupId", "group_id"],
            Field::Groupname => &["groupname", "groupName", "group_name"],
            Field::Groupdesc => &["groupdesc", "groupDesc", "group_desc"],
        }
    }

    fn shift(self) -> u16 {
        self as u16 * BITS
    }
}

/// Bits per field: the place of its name in [`Field::names`].
const BITS: u16 = 2;
const MASK: u16 = (1 << BITS) - 1;

/// One client's names for all fields. The default is the usual ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spelling(u16);

impl Spelling {
    pub fn name(self, field: Field) -> &'static str {
        let place = self.0 >> field.shift() & MASK;
        field.names().get(usize::from(place)).copied().unwrap_or(field.names()[0])
    }

    /// The name under which `fields` hold `field`, which is the client's from now on. If they do not, the name so far.
    pub fn learn(&mut self, field: Field, fields: &Fields<'_>) -> &'static str {
        if let Some(place) = field.names().iter().position(|name| fields.get(name).is_some()) {
            self.0 = self.0 & !(MASK << field.shift()) | (place as u16) << field.shift();
        }
        self.name(field)
    }
}

/// A spelling that one task learns while others write by it. A message written meanwhile is spelt either way.
#[derive(Debug, Default)]
pub struct SharedSpelling(AtomicU16);

impl SharedSpelling {
    pub fn get(&self) -> Spelling {
        Spelling(self.0.load(Ordering::Relaxed))
    }

    pub fn set(&self, spelling: Spelling) {
        self.0.store(spelling.0, Ordering::Relaxed);
    }
}

impl Clone for SharedSpelling {
    fn clone(&self) -> Self {
        SharedSpelling(AtomicU16::new(self.get().0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    const ALL: [Field; 6] =
        [Field::Msgid, Field::Toid, Field::Friendid, Field::Groupid, Field::Groupname, Field::Groupdesc];

    #[test]
    fn every_name_of_every_field_is_learnt_and_leaves_the_others() {
        assert!(ALL.iter().all(|field| field.names().len() <= usize::from(MASK) + 1));
        for field in ALL {
            for name in field.names() {
                let mut spelling = Spelling::default();
                let text = format!("{{\"{name}\":1}}");
                let fields = json::parse(text.as_bytes()).expect("an object");
                assert_eq!(spelling.learn(field, &fields), *name);
                for other in ALL {
                    let expected = if other == field { *name } else { other.names()[0] };
                    assert_eq!(spelling.name(other), expected);
                    spelling.learn(other, &fields);
                }
                assert_eq!(spelling.learn(field, &json::parse(b"{}").expect("an object")), *name, "kept");
            }
        }
    }
}
