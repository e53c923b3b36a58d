//! A link is slow, as between data centres far apart.

use super::{Kind, chances, link};
use crate::cluster::Ability;
use crate::link::Trouble;
use std::time::Duration;

pub(super) const KIND: Kind = Kind {
    usage: "slow ONE OTHER MILLISECONDS",
    effect: "each way between a node and database or redis takes that much longer",
    needs: Some(Ability::Relays),
    table: &[("slow node-1 database 200", 5)],
    chances: |setup| chances::on_links("slow", setup, "100"),
    read: |words| {
        Ok(link::in_trouble(words, Trouble::Slow(Duration::from_millis(link::number(words[2], "milliseconds")?))))
    },
};
