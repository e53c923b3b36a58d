//! Lists of values in statements, in few sizes, so that all statements stay in the connections' caches.

use crate::storage::engine::{Dialect, Value};

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

/// That the two columns are one of the pairs, of which there is one at least, and its parameters. For a SELECT: of a
/// list of rows MariaDB may make a scan of the index.
pub fn any_of<A, B>([one, other]: [&str; 2], pairs: &[(A, B)]) -> (String, Vec<Value>)
where
    A: Clone + Into<Value>,
    B: Clone + Into<Value>,
{
    let condition = repeated(&format!("({one} = ? AND {other} = ?)"), " OR ", pairs.len());
    (format!("({condition})"), pair_values(pairs))
}

/// The same for an UPDATE. As a list of rows MySQL takes a quarter of the time over 64 pairs that it takes over a chain
/// of ORs; only of a single row in a list MariaDB makes a scan of the table.
pub fn any_of_to_update<A, B>(dialect: &Dialect, columns: [&str; 2], pairs: &[(A, B)]) -> (String, Vec<Value>)
where
    A: Clone + Into<Value>,
    B: Clone + Into<Value>,
{
    if pairs.len() == 1 {
        return any_of(columns, pairs);
    }
    let ([one, other], rows) = (columns, repeated("(?, ?)", ", ", pairs.len()));
    (format!("({one}, {other}) IN ({}{rows})", dialect.row_list), pair_values(pairs))
}

fn pair_values<A, B>(pairs: &[(A, B)]) -> Vec<Value>
where
    A: Clone + Into<Value>,
    B: Clone + Into<Value>,
{
    padded_values(pairs, |(one, other), values| values.extend([one.clone().into(), other.clone().into()]))
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
    fn pairs_are_padded_and_only_several_are_a_list_of_rows() {
        let check = |(sql, values): (String, Vec<Value>), expected: &str, padding: &[i64]| {
            assert_eq!(sql, expected);
            assert_eq!(values, padding.iter().map(|id| Value::Int(*id)).collect::<Vec<_>>());
        };
        let (columns, pairs) = (["a", "b"], [(1_u64, 2_u64), (3, 4), (5, 6)]);
        let (mysql, sqlite) = (&crate::storage::engine::mysql::DIALECT, &crate::storage::engine::sqlite::DIALECT);
        check(any_of(columns, &pairs[..2]), "((a = ? AND b = ?) OR (a = ? AND b = ?))", &[1, 2, 3, 4]);
        check(any_of_to_update(mysql, columns, &pairs[..1]), "((a = ? AND b = ?))", &[1, 2]);
        let four = "(a, b) IN ((?, ?), (?, ?), (?, ?), (?, ?))";
        check(any_of_to_update(mysql, columns, &pairs), four, &[1, 2, 3, 4, 5, 6, 5, 6]);
        check(any_of_to_update(sqlite, columns, &pairs[..2]), "(a, b) IN (VALUES (?, ?), (?, ?))", &[1, 2, 3, 4]);
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
