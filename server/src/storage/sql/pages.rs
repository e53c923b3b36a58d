//! The first of what each of many has, read in few statements: a limit holds for each by itself, and nothing is read
//! beyond it.

use crate::storage::engine::{Connection, Result, Row, Value};
use std::collections::BTreeMap;

/// Pages in one statement: the server keeps each statement in memory that a connection has prepared, in all its sizes.
const AT_ONCE: usize = 32;
/// The sizes, few since these statements are large.
const SIZES: [usize; 3] = [1, 4, AT_ONCE];
/// The id of nothing.
const NOTHING: u64 = 0;

/// What each of `owners` has, in their order, by id; at most `limit` each. Each owner at most once.
///
/// `first` reads the first rows of one, given its id and their number; `whole` makes the statement of a table of such
/// pages; `read` takes one of its rows apart into the owner's id, the id of what it has, and what that is.
pub async fn first_of_each<T>(
    conn: &mut dyn Connection,
    owners: &[u64],
    limit: u32,
    first: &str,
    whole: impl Fn(&str) -> String,
    read: impl Fn(&Row) -> Result<(u64, u64, T)>,
) -> Result<Vec<Vec<T>>> {
    // The parts of a UNION come in no promised order.
    let mut found: BTreeMap<u64, BTreeMap<u64, T>> = BTreeMap::new();
    for owners in owners.chunks(AT_ONCE) {
        let (pages, values) = pages(first, owners, limit);
        for row in conn.rows(&whole(&pages), &values).await? {
            let (owner, id, one) = read(&row)?;
            found.entry(owner).or_default().insert(id, one);
        }
    }
    let of = |owner| found.remove(owner).unwrap_or_default().into_values().collect();
    Ok(owners.iter().map(of).collect())
}

/// The pages of at most [`AT_ONCE`], as a table, and its parameters.
fn pages(first: &str, owners: &[u64], limit: u32) -> (String, Vec<Value>) {
    let one = format!("SELECT * FROM ({first}) AS page");
    let size = SIZES.into_iter().find(|size| *size >= owners.len()).unwrap_or(owners.len());
    // Padded with the id of nothing: repeating one would repeat its rows.
    let owners = owners.iter().copied().chain(std::iter::repeat(NOTHING)).take(size);
    let values: Vec<Value> = owners.flat_map(|owner| [owner.into(), limit.into()]).collect();
    (format!("({})", vec![one; size].join(" UNION ALL ")), values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_padded_with_nothing() {
        let (sql, values) = pages("SELECT ? LIMIT ?", &[7, 8, 9], 2);
        assert_eq!(sql.matches("SELECT * FROM (SELECT ? LIMIT ?) AS page").count(), 4);
        assert_eq!(values, [7_u64, 2, 8, 2, 9, 2, NOTHING, 2].map(Value::from));
    }
}
