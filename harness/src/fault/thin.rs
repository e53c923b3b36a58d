//! A link is thin: it passes less than a chat takes.

use super::{Kind, chances, link};
use crate::cluster::Ability;
use crate::link::Trouble;

pub(super) const KIND: Kind = Kind {
    usage: "thin ONE OTHER BYTES_PER_SECOND",
    effect: "each connection between them passes at most that much, each way",
    needs: Some(Ability::Relays),
    table: &[("thin node-2 database 20000", 5)],
    chances: |setup| chances::on_links("thin", setup, "20000"),
    read: |words| Ok(link::in_trouble(words, Trouble::Thin(link::number(words[2], "bytes a second")?))),
};
