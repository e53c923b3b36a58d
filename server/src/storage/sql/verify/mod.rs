//! Checks of what stands in the tables, a page at a time.
//!
//! A page is one transaction, so all of it is of one moment where the database gives snapshots. What is repaired is so
//! with the values that were found wrong as a condition: a row that has changed since is left alone.

mod logs;
mod people;
mod sessions;

use super::storage::{SqlStorage, transaction};
use crate::storage::verify::{Finding, Part, Place, Verified, Verify, Wrong};
use crate::storage::{self, engine};
use async_trait::async_trait;

/// Rows in one page.
const ROWS_AT_ONCE: u32 = 1_000;

#[async_trait]
impl Verify for SqlStorage {
    async fn verify(&self, part: Part, after: &Place, repair: bool) -> storage::Result<Verified> {
        match part {
            Part::Logs => transaction!(self, conn => logs::verify(conn, after, repair)),
            Part::Members => transaction!(self, conn => people::members(conn, after, repair)),
            Part::GroupUsers => transaction!(self, conn => people::group_users(conn, after)),
            Part::Friends => transaction!(self, conn => people::friends(conn, after)),
            Part::Sessions => transaction!(self, conn => sessions::verify(conn, after)),
        }
    }
}

/// A page of so many rows that has no findings yet; `last` is the key of its last row.
fn page(rows: usize, last: engine::Result<Option<Place>>) -> engine::Result<Verified> {
    let next = last?.filter(|_| rows == ROWS_AT_ONCE as usize);
    Ok(Verified { rows: rows as u64, findings: Vec::new(), next })
}

impl Verified {
    fn find(&mut self, wrong: Wrong, what: String) {
        self.findings.push(Finding { wrong, what, is_repaired: false });
    }

    fn find_and_repair(&mut self, wrong: Wrong, what: String, is_repaired: bool) {
        self.findings.push(Finding { wrong, what, is_repaired });
    }
}
