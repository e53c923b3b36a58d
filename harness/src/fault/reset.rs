//! A link breaks off whatever is open on it.

use super::{Kind, chances, link};
use crate::cluster::Ability;
use crate::link::Trouble;

pub(super) const KIND: Kind = Kind {
    usage: "reset ONE OTHER",
    effect: "every open connection between them is broken off; nothing is left to heal",
    needs: Some(Ability::Relays),
    table: &[("reset node-1 database", 0)],
    chances: |setup| chances::on_links("reset", setup, ""),
    read: |words| Ok(link::in_trouble(words, Trouble::Reset)),
};
