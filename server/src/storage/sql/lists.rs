//! Lists of values in statements, in few sizes, so that all statements stay in the connections' caches.

use crate::storage::engine::Value;

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
    fn chunks_are_powers_of_two_and_cover_everything() {
        for count in 0..300_usize {
            let items: Vec<usize> = (0..count).collect();
            let chunks = power_of_two_chunks(&items, 64);
            assert!(chunks.iter().all(|chunk| chunk.len().is_power_of_two() && chunk.len() <= 64));
            assert_eq!(chunks.concat(), items);
        }
    }
}
