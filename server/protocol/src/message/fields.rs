//! How a message's fields are written down once, for reading and for writing.
//!
//! `ask!` makes a client's request of its fields and how each is read; `answer!` makes a node's reply. What is more
//! than a list of fields implements [`Ask`] or [`Body`] by hand.

use crate::answer::Answer;
use crate::errno::Failure;
use crate::reader::Reader;

/// Milliseconds since the Unix epoch.
pub type TimeMs = i64;

/// A request of a client: written by its `Serialize`, read by this.
pub trait Ask: Sized {
    /// All that it may have beyond `msgid`, `mid` and `id`.
    const FIELDS: &'static [&'static str];

    fn read(reader: &mut Reader<'_, '_>) -> Result<Self, Failure>;
}

/// What a node says beside `msgid`, `mid` and `errno`: written by this, read by its `Deserialize`.
pub trait Body {
    const FIELDS: &'static [&'static str];

    fn write(&self, answer: Answer<'_>);
}

/// A request: each field with its type, and with the [`Reader`]'s method that reads it.
macro_rules! ask {
    ($(#[$about:meta])* $name:ident {
        $($(#[$field_about:meta])* $field:ident: $type:ty = $read:ident($($argument:expr),*)),* $(,)?
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
        pub struct $name { $($(#[$field_about])* pub $field: $type),* }

        impl $crate::message::fields::Ask for $name {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn read(_reader: &mut $crate::reader::Reader<'_, '_>) -> Result<Self, $crate::errno::Failure> {
                Ok($name { $($field: _reader.$read($($argument),*)?),* })
            }
        }
    };
}

/// What a node says: each field with its type.
macro_rules! answer {
    ($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name { $($(#[$field_about])* pub $field: $type),* }

        impl $crate::message::fields::Body for $name {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn write(&self, answer: $crate::answer::Answer<'_>) {
                answer.done(self);
            }
        }
    };
}

answer! {
    /// Nothing beyond `errno`.
    Nothing {}
}
