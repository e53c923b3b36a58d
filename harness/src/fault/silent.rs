//! A link is silent: half-open connections.

use super::{Kind, chances, link};
use crate::cluster::Ability;
use crate::link::Trouble;

pub(super) const KIND: Kind = Kind {
    usage: "silent ONE OTHER",
    effect: "nothing passes between them, and neither is told; afterwards it all does",
    needs: Some(Ability::Relays),
    table: &[("silent node-1 database", 5), ("silent node-2 redis", 5)],
    chances: |setup| chances::on_links("silent", setup, ""),
    read: |words| Ok(link::in_trouble(words, Trouble::Silent)),
};
