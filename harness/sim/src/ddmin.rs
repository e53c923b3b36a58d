//! The fewest things with which something still fails: delta debugging after Zeller, a function of the answers alone.

/// Looks for the fewest of `items` with which it still fails: parts are left out, in halves, then in quarters, down to
/// single ones, until none of those that are left can be left out.
///
/// `first_failing` is asked for the first of several candidates that fails, by its place. Candidates up to that one
/// count as runs (all of them where none fails), however many were tried at once; there are at most `most`.
pub async fn ddmin<T: Clone>(
    items: Vec<T>,
    most: usize,
    mut first_failing: impl AsyncFnMut(&[Vec<T>]) -> Option<usize>,
) -> Vec<T> {
    let (mut left, mut parts, mut runs) = (items, 2, 0);
    while !left.is_empty() && runs < most {
        let size = left.len().div_ceil(parts);
        let mut candidates: Vec<Vec<T>> =
            left.chunks(size).enumerate().map(|(part, _)| without(&left, part, size)).collect();
        candidates.truncate(most - runs);
        match first_failing(&candidates).await {
            Some(place) => {
                runs += place + 1;
                left = candidates.swap_remove(place);
                parts = (parts - 1).max(2);
            }
            None if size == 1 => break,
            None => {
                runs += candidates.len();
                parts = (parts * 2).min(left.len());
            }
        }
    }
    left
}

fn without<T: Clone>(items: &[T], part: usize, size: usize) -> Vec<T> {
    let (from, to) = (part * size, ((part + 1) * size).min(items.len()));
    [&items[..from], &items[to..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails where all of `guilty` are there.
    async fn check(guilty: &[usize], of: usize, most: usize, expected: &[usize]) {
        let mut runs = 0;
        let left = ddmin((0..of).collect(), most, async |candidates: &[Vec<usize>]| {
            let fails = |candidate: &Vec<usize>| guilty.iter().all(|one| candidate.contains(one));
            let place = candidates.iter().position(fails);
            runs += place.map_or(candidates.len(), |place| place + 1);
            place
        });
        assert_eq!(left.await, expected);
        assert!(runs <= most, "{runs} runs");
    }

    #[tokio::test]
    async fn only_the_guilty_are_left() {
        check(&[3], 16, 100, &[3]).await;
        check(&[2, 13], 16, 100, &[2, 13]).await;
        check(&[0, 1, 2], 3, 100, &[0, 1, 2]).await;
        check(&[5, 100, 101, 299], 300, 300, &[5, 100, 101, 299]).await;
        check(&[0], 1, 100, &[0]).await;
    }

    #[tokio::test]
    async fn nothing_is_left_where_nobody_is_guilty() {
        check(&[], 16, 100, &[]).await;
        check(&[], 0, 100, &[]).await;
    }

    #[tokio::test]
    async fn patience_ends_it() {
        check(&[12], 16, 1, &[8, 9, 10, 11, 12, 13, 14, 15]).await;
        check(&[2, 13], 16, 3, &(0..16).collect::<Vec<_>>()).await;
    }
}
