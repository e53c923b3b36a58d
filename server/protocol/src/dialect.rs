//! The dialects a client may speak, told apart by the first byte it sends, and how each numbers its requests.

use super::encode::checked;
use super::json::Fields;
use super::message::{Kind, msgid};
use super::spelling::{Field, Spelling};

/// How a client's messages are framed and spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Length-prefixed JSON with acknowledgements: ours.
    Framed,
    /// Classic: frames with a marker, a length and a checksum.
    Checked,
    /// Classic: JSON objects one after the other, without frames.
    Bare,
}

impl Dialect {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// The dialect of a client whose first byte is this; `None`: of none, close at once.
    pub fn of_first_byte(byte: u8) -> Option<Dialect> {
        match byte {
            0x00 => Some(Dialect::Framed),
            0xFE => Some(Dialect::Checked),
            b'{' => Some(Dialect::Bare),
            byte if byte.is_ascii_whitespace() => Some(Dialect::Bare),
            _ => None,
        }
    }

    /// The field that says what kind of message an object is.
    pub(super) fn number_field(self, spelling: &mut Spelling, fields: &Fields<'_>) -> &'static str {
        match self {
            Dialect::Framed => Spelling::default().name(Field::Msgid),
            Dialect::Bare => spelling.learn(Field::Msgid, fields),
            Dialect::Checked => checked::NUMBER,
        }
    }

    /// What a client asks for under this number; [`Kind::Unknown`] if nothing, or if only a node says it.
    pub(super) fn kind_of(self, number: u64) -> Kind {
        match self {
            Dialect::Framed => framed_kind(number),
            Dialect::Bare if number <= msgid::GROUP_CHAT => framed_kind(number),
            Dialect::Bare => Kind::Unknown,
            Dialect::Checked => checked_kind(number),
        }
    }
}

fn framed_kind(number: u64) -> Kind {
    match number {
        msgid::LOGIN => Kind::Login,
        msgid::LOGOUT => Kind::Logout,
        msgid::REGISTER => Kind::Register,
        msgid::ONE_CHAT => Kind::OneChat,
        msgid::ADD_FRIEND => Kind::AddFriend,
        msgid::CREATE_GROUP => Kind::CreateGroup,
        msgid::ADD_GROUP => Kind::JoinGroup,
        msgid::GROUP_CHAT => Kind::GroupChat,
        msgid::RECEIVED => Kind::Received,
        msgid::HISTORY => Kind::History,
        msgid::PING => Kind::Ping,
        msgid::PONG => Kind::Pong,
        msgid::REMOVE_FRIEND => Kind::RemoveFriend,
        msgid::LEAVE_GROUP => Kind::LeaveGroup,
        msgid::ROSTER => Kind::Roster,
        msgid::CHANGE_PASSWORD => Kind::ChangePassword,
        _ => Kind::Unknown,
    }
}

fn checked_kind(number: u64) -> Kind {
    match number {
        1 => Kind::Login,
        3 => Kind::Logout,
        4 => Kind::Register,
        6 => Kind::OneChat,
        8 => Kind::GroupChat,
        9 => Kind::AddFriend,
        10 => Kind::CreateGroup,
        11 => Kind::JoinGroup,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_byte_tells_the_dialect() {
        for byte in 0..=u8::MAX {
            let expected = match byte {
                0x00 => Some(Dialect::Framed),
                0xFE => Some(Dialect::Checked),
                b'{' | b' ' | b'\t' | b'\r' | b'\n' | 0x0C => Some(Dialect::Bare),
                _ => None,
            };
            assert_eq!(Dialect::of_first_byte(byte), expected, "{byte:#04x}");
        }
    }
}
