//! What a client may rely on, one file a promise: the contract's G1 to G8, and four that only a harness can put to the
//! test.
//!
//! A new checker is its file and its line in the table below, which makes a module, a variant and an entry of
//! [`Guarantee::ALL`] of it. Each file has `check(&Facts, &mut Finding)`, a pure function.

mod finding;
mod relayed;
mod unacknowledged;

pub use finding::{Finding, Violation};
pub(crate) use unacknowledged::NOTICE;

use crate::facts::{Facts, Message, Place, Push, Read, Row, Session};
use std::fmt;

macro_rules! guarantees {
    ($($name:ident $code:literal $file:ident $title:literal)*) => {
        $(pub mod $file;)*

        /// A promise. Printed, it is its code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Guarantee {
            $(#[doc = $title] $name,)*
        }

        impl Guarantee {
            pub const ALL: &[Guarantee] = &[$(Guarantee::$name),*];

            /// What the contract calls it, or its name where the contract has no number for it.
            pub fn code(self) -> &'static str {
                match self { $(Guarantee::$name => $code,)* }
            }

            /// The promise in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Guarantee::$name => $title,)* }
            }

            /// Judges by this promise alone.
            pub fn check(self, facts: &Facts<'_>) -> Finding {
                let mut finding = Finding::new(self);
                match self { $(Guarantee::$name => $file::check(facts, &mut finding),)* }
                finding
            }
        }
    };
}

guarantees! {
    Durable "G1" durable "acknowledged is durable"
    DeliveredOnce "G2" delivered_once "delivered, once"
    InOrder "G3" in_order "in order"
    HarmlessResend "G4" harmless_resend "a resend is harmless"
    NoPhantoms "G5" no_phantoms "no phantoms"
    OneSession "G6" one_session "one session a user"
    WithoutRedis "G7" without_redis "redis only speeds things up"
    Identity "G8" identity "who you are is your session"
    Presence "Presence" presence "what friends see converges"
    Recovery "Recovery" recovery "served again after a fault"
    Rows "Rows" rows "the database has what was acked"
    LogBegins "History" log_begins "HISTORY says where a log begins"
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

#[cfg(test)]
mod tests;
