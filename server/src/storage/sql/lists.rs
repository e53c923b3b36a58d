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

/// That the two columns are one of the pairs, of which there is one at least, and its parameters. A chain of ORs says
/// the same, but MySQL takes four times as long over 64 of them; and of a single row in a list MariaDB makes a scan of
/// the table.
pub fn any_of<A, B>(dialect: &Dialect, [one, other]: [&str; 2], pairs: &[(A, B)]) -> (String, Vec<Value>)
where
    A: Clone + Into<Value>,
    B: Clone + Into<Value>,
{
    let values = padded_values(pairs, |(a, b), values| values.extend([a.clone().into(), b.clone().into()]));
    let condition = match pairs {
        [_] => format!("({one} = ? AND {other} = ?)"),
        _ => format!("({one}, {other}) IN ({}{})", dialect.row_list, repeated("(?, ?)", ", ", pairs.len())),
    };
    (condition, values)
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
    fn one_pair_is_compared_and_several_are_a_padded_list() {
        let check = |dialect: &Dialect, pairs: &[(u64, u64)], expected: &str, padding: &[i64]| {
            let (sql, values) = any_of(dialect, ["a", "b"], pairs);
            assert_eq!(sql, expected);
            assert_eq!(values, padding.iter().map(|id| Value::Int(*id)).collect::<Vec<_>>());
        };
        let (mysql, sqlite) = (&crate::storage::engine::mysql::DIALECT, &crate::storage::engine::sqlite::DIALECT);
        check(mysql, &[(1, 2)], "(a = ? AND b = ?)", &[1, 2]);
        check(mysql, &[(1, 2), (3, 4)], "(a, b) IN ((?, ?), (?, ?))", &[1, 2, 3, 4]);
        let four = "(a, b) IN ((?, ?), (?, ?), (?, ?), (?, ?))";
        check(mysql, &[(1, 2), (3, 4), (5, 6)], four, &[1, 2, 3, 4, 5, 6, 5, 6]);
        check(sqlite, &[(1, 2), (3, 4)], "(a, b) IN (VALUES (?, ?), (?, ?))", &[1, 2, 3, 4]);
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
