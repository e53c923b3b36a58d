//! A queue in which whoever puts much in waits behind himself, not before others.
//!
//! What waits stands under a path: a network, a smaller one in it, an address, a purpose. At each step of the way turns
//! go round, so that of two addresses each gets every second turn however much the other has waiting, and a network
//! counts once however many addresses of it there are. Where something must go, it is the latest of whoever has the
//! most. Operations take time in proportion to what waits: it is for queues that are short.

use std::collections::VecDeque;

/// One place on the way: what waits under it, by the next step, whose turn it is first; or what waits here.
#[derive(Debug)]
pub struct FairQueue<T> {
    branches: VecDeque<(u128, FairQueue<T>)>,
    waiting: VecDeque<T>,
    len: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        FairQueue { branches: VecDeque::new(), waiting: VecDeque::new(), len: 0 }
    }
}

impl<T> FairQueue<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds `item` behind all that waits under the same `path`. All paths of one queue are of one length.
    pub fn push(&mut self, path: &[u128], item: T) {
        self.len += 1;
        let Some((step, rest)) = path.split_first() else { return self.waiting.push_back(item) };
        match self.branches.iter_mut().find(|(known, _)| known == step) {
            Some((_, branch)) => branch.push(rest, item),
            None => {
                let mut branch = FairQueue::default();
                branch.push(rest, item);
                self.branches.push_back((*step, branch));
            }
        }
    }

    /// Takes out what has its turn.
    pub fn pop(&mut self) -> Option<T> {
        let item = match self.branches.pop_front() {
            None => self.waiting.pop_front(),
            Some((step, mut branch)) => {
                let item = branch.pop();
                if branch.len > 0 {
                    self.branches.push_back((step, branch));
                }
                item
            }
        };
        self.len -= usize::from(item.is_some());
        item
    }

    /// Takes out the latest of whoever has the most waiting.
    pub fn drop_latest_of_most(&mut self) -> Option<T> {
        let most = (0..self.branches.len()).max_by_key(|place| self.branches[*place].1.len);
        let item = match most {
            None => self.waiting.pop_back(),
            Some(place) => {
                let item = self.branches[place].1.drop_latest_of_most();
                if self.branches[place].1.len == 0 {
                    self.branches.remove(place);
                }
                item
            }
        };
        self.len -= usize::from(item.is_some());
        item
    }

    /// Keeps only what `wanted` says.
    pub fn retain(&mut self, wanted: &impl Fn(&T) -> bool) {
        self.waiting.retain(wanted);
        self.branches.iter_mut().for_each(|(_, branch)| branch.retain(wanted));
        self.branches.retain(|(_, branch)| branch.len > 0);
        self.len = self.waiting.len() + self.branches.iter().map(|(_, branch)| branch.len).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut FairQueue<&'static str>) -> String {
        std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn turns_go_round_and_each_keeps_its_order() {
        let mut queue = FairQueue::default();
        for item in ["a1", "a2", "a3"] {
            queue.push(&[1, 1], item);
        }
        queue.push(&[2, 1], "b1");
        queue.push(&[2, 1], "b2");
        assert_eq!((queue.len(), queue.pop()), (5, Some("a1")));
        queue.push(&[3, 1], "c1");
        assert_eq!(drain(&mut queue), "b1 a2 c1 b2 a3");
        assert_eq!((queue.len(), queue.pop()), (0, None));
    }

    #[test]
    fn a_network_has_one_turn_however_many_addresses_wait() {
        let mut queue = FairQueue::default();
        for (address, item) in [(1, "a1"), (2, "a2"), (3, "a3")] {
            queue.push(&[1, address], item);
        }
        queue.push(&[2, 1], "b1");
        queue.push(&[2, 1], "b2");

        assert_eq!(drain(&mut queue), "a1 b1 a2 b2 a3");
    }

    #[test]
    fn what_must_go_is_the_latest_of_the_most() {
        let mut queue = FairQueue::default();
        for (path, item) in [([1, 1], "a1"), ([1, 2], "a2"), ([1, 2], "a3"), ([2, 1], "b1"), ([2, 1], "b2")] {
            queue.push(&path, item);
        }

        assert_eq!(queue.drop_latest_of_most(), Some("a3"));
        // Of those that have equally much, the one whose turn is last.
        assert_eq!(queue.drop_latest_of_most(), Some("b2"));
        assert_eq!(queue.drop_latest_of_most(), Some("a2"));
        assert_eq!((queue.len(), drain(&mut queue).as_str()), (2, "a1 b1"));
        assert_eq!(queue.drop_latest_of_most(), None);
    }

    #[test]
    fn what_is_not_wanted_leaves_no_trace() {
        let mut queue = FairQueue::default();
        for (path, item) in [([1, 1], 1), ([1, 2], 2), ([2, 1], 3), ([2, 1], 4)] {
            queue.push(&path, item);
        }

        queue.retain(&|item| *item == 4);

        assert_eq!((queue.len(), queue.branches.len()), (1, 1));
        assert_eq!((queue.pop(), queue.pop()), (Some(4), None));
    }
}
