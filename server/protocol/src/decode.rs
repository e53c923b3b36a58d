//! The fields of one object to a typed request, the same for all dialects.
//!
//! Here end the checks of type and range; who may do what is the session's and the services' business.

use crate::dialect::Dialect;
use crate::errno::{Errno, Failure};
use crate::json::{Fields, Value};
use crate::message::{Command, Incoming, Kind, Request};
use crate::mid::MidText;
use crate::reader::{Reader, Whole};
use crate::spelling::{Field, Spelling};

/// The field that holds a message's number in the checked dialect; all its clients spell it alike.
pub const CHECKED_NUMBER: &str = "msgType";

/// Reads one object. `Err` if it has no integer where the dialect says what kind of message it is: the connection
/// cannot go on.
pub fn decode(dialect: Dialect, spelling: &mut Spelling, fields: Fields<'_>) -> Result<Incoming, Failure> {
    let mut reader = Reader { dialect, spelling, fields };
    let number_field = if dialect == Dialect::Checked { CHECKED_NUMBER } else { reader.spelled(Field::Msgid) };
    let number = reader
        .fields
        .get(number_field)
        .and_then(Value::whole)
        .ok_or_else(|| Failure::field(number_field, "an integer"))?;
    let kind = match number {
        Whole::Small(number) => Kind::asked_for(dialect, number),
        Whole::Negative | Whole::Large => Kind::Unknown,
    };
    let mid = if reader.is_framed() { reader.echoed_mid() } else { None };
    Ok(match request(&mut reader, kind, mid) {
        Ok(request) => Incoming::Request(request),
        Err(failure) => Incoming::Refused { kind, mid, failure },
    })
}

fn request(reader: &mut Reader<'_, '_>, kind: Kind, mid: Option<MidText>) -> Result<Request, Failure> {
    if kind == Kind::Unknown {
        return Err(Errno::UnknownMsgid.into());
    }
    if reader.is_framed() {
        reader.check_mid()?;
    }
    // A number too large to be one's own id is somebody else's.
    let claimed_id = match kind {
        Kind::Login => None,
        _ => reader.optional_id("id", Errno::NotAllowed)?,
    };
    Ok(Request { mid, claimed_id, command: Command::read(kind, reader)? })
}
