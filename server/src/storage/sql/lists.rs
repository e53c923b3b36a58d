//! Lists of values in statements, in few sizes, so that all statements stay in the connections' caches.

use crate::storage::engine::Value;
use std::collections::BTreeMap;

/// Pages in one statement: the server keeps each statement in memory that a connection has prepared, in all its sizes.
pub const PAGES_AT_ONCE: usize = 32;
/// The sizes, few since these statements are large.
const PAGES: [usize; 3] = [1, 4, PAGES_AT_ONCE];
/// The id of nothing.
const NOTHING: u64 = 0;

/// The smallest power of two that holds `count`. Statements come in these sizes only, so that all of them stay in the
/// connections' caches of prepared statements.
pub fn padded(count: usize) -> usize {
    count.next_power_of_two()
}

/// `group` repeated for `count` items padded to a power of two, separated by `separator`.
pub fn repeated(group: &str, separator: &str, count: usize) -> String {
    vec![group; padded(count)].join(separator)
}

/// The parameters of `items`, the last repeated up to a power of two of items: harmless in a list of alternatives.
pub fn padded_values<T>(items: &[T], mut push: impl FnMut(&T, &mut Vec<Value>)) -> Vec<Value> {
    let mut values = Vec::new();
    let Some(last) = items.last() else { return values };
    for item in items.iter().chain(std::iter::repeat(last)).take(padded(items.len())) {
        push(item, &mut values);
    }
    values
}

/// `(?, ?, …)` for a list of `items`, and its parameters.
pub fn list<T: Clone + Into<Value>>(items: &[T]) -> (String, Vec<Value>) {
    let placeholders = format!("({})", repeated("?", ", ", items.len()));
    (placeholders, padded_values(items, |item, values| values.push(item.clone().into())))
}

/// The first rows of each of `ids`, at most [`PAGES_AT_ONCE`], as a table: `first` reads them of one, given its id and
/// their number. So a limit holds for each by itself, and none is read beyond it. The rows come in no promised order.
pub fn pages(first: &str, ids: &[u64], limit: u32) -> (String, Vec<Value>) {
    let one = format!("SELECT * FROM ({first}) AS page");
    let size = PAGES.into_iter().find(|size| *size >= ids.len()).unwrap_or(ids.len());
    // Padded with the id of nothing: repeating one would repeat its rows.
    let ids = ids.iter().copied().chain(std::iter::repeat(NOTHING)).take(size);
    let values: Vec<Value> = ids.flat_map(|id| [id.into(), limit.into()]).collect();
    (format!("({})", vec![one; size].join(" UNION ALL ")), values)
}

/// What was found for each of `ids`, in their order; each is there once.
pub fn in_order<T>(ids: &[u64], mut found: BTreeMap<u64, Vec<T>>) -> Vec<Vec<T>> {
    ids.iter().map(|id| found.remove(id).unwrap_or_default()).collect()
}

/// Splits into pieces of powers of two, at most `largest` (itself one): for rows of an INSERT, which cannot be padded.
pub fn power_of_two_chunks<T>(mut items: &[T], largest: usize) -> Vec<&[T]> {
    let mut chunks = Vec::new();
    while !items.is_empty() {
        let size = (1 << items.len().ilog2()).min(largest);
        let (chunk, rest) = items.split_at(size);
        chunks.push(chunk);
        items = rest;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_padded_to_powers_of_two() {
        let check = |items: &[u64], placeholders: &str, padding: &[i64]| {
            let (sql, values) = list(items);
            assert_eq!(sql, placeholders);
            assert_eq!(values, padding.iter().map(|id| Value::Int(*id)).collect::<Vec<_>>());
        };
        check(&[7], "(?)", &[7]);
        check(&[7, 8], "(?, ?)", &[7, 8]);
        check(&[7, 8, 9], "(?, ?, ?, ?)", &[7, 8, 9, 9]);
    }

    #[test]
    fn pages_are_padded_with_nothing() {
        let (sql, values) = pages("SELECT ? LIMIT ?", &[7, 8, 9], 2);
        assert_eq!(sql.matches("SELECT * FROM (SELECT ? LIMIT ?) AS page").count(), 4);
        assert_eq!(values, [7_u64, 2, 8, 2, 9, 2, NOTHING, 2].map(Value::from));
    }

    #[test]
    fn chunks_are_powers_of_two_and_cover_everything() {
        for count in 0..300_usize {
            let items: Vec<usize> = (0..count).collect();
            let chunks = power_of_two_chunks(&items, 64);
            assert!(chunks.iter().all(|chunk| chunk.len().is_power_of_two() && chunk.len() <= 64));
            assert_eq!(chunks.concat(), items);
        }
    }
}
