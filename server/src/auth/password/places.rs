//! Who may compute a hash, and who waits for it.
//!
//! As many run at once as there are cores. Whoever comes then waits; turns go round between addresses and the networks
//! they stand in (see [`FairQueue`]). Beyond the number that may wait, the latest of whoever has the most waiting is
//! sent away, so that nobody can fill the places: one who has none waiting always finds one, unless as many others wait
//! as there are places.

use super::fair_queue::FairQueue;
use super::memory::Memory;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::oneshot;

#[derive(Debug)]
pub struct Places {
    cores: usize,
    waiting: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    /// Empty unless all cores run.
    waiting: FairQueue<oneshot::Sender<Place>>,
}

/// The right to compute one hash. Dropped, it goes to whose turn it is, with the memory; that of the last goes back to
/// the system.
#[derive(Debug)]
pub struct Place(Option<Right>);

#[derive(Debug)]
struct Right {
    places: Arc<Places>,
    memory: Memory,
}

impl Places {
    /// `cores` run at once, and `waiting` may wait.
    pub fn new(cores: usize, waiting: usize) -> Arc<Self> {
        Arc::new(Places { cores, waiting, state: Mutex::default() })
    }

    /// Waits for one's turn, under a path as [`FairQueue`] has it. `None`: too many wait. Whoever stops waiting loses
    /// their turn.
    pub async fn enter(self: &Arc<Self>, path: &[u128]) -> Option<Place> {
        let turn = {
            let mut state = self.state.lock();
            if state.running < self.cores {
                state.running += 1;
                return Some(Place(Some(Right { places: self.clone(), memory: Memory::default() })));
            }
            let (sender, turn) = oneshot::channel();
            state.waiting.push(path, sender);
            if state.waiting.len() > self.waiting {
                state.waiting.retain(&|waiting| !waiting.is_closed());
            }
            if state.waiting.len() > self.waiting {
                state.waiting.drop_latest_of_most();
            }
            turn
        };
        turn.await.ok()
    }

    /// Who is next; `None` frees a core.
    fn next(&self) -> Option<oneshot::Sender<Place>> {
        let mut state = self.state.lock();
        let next = state.waiting.pop();
        state.running -= usize::from(next.is_none());
        next
    }

    #[cfg(test)]
    pub fn count(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.running, state.waiting.len())
    }
}

impl Place {
    pub fn memory(&mut self) -> &mut Memory {
        &mut self.0.as_mut().expect("only a drop takes it").memory
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.0.take();
        while let Some(right) = held.take() {
            let Some(next) = right.places.next() else { return };
            if let Err(mut refused) = next.send(Place(Some(right))) {
                // That one waits no more.
                held = refused.0.take();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{poll_fn, ready};
    use std::task::Poll;
    use tokio::task::JoinHandle;

    /// Someone who has asked for a place when this returns, and who sends their name when they have had it.
    async fn queue(places: &Arc<Places>, path: [u128; 2], name: u8, done: &Arc<Mutex<Vec<u8>>>) -> JoinHandle<bool> {
        let (places, done) = (places.clone(), done.clone());
        let mut turn = Box::pin(async move {
            let place = places.enter(&path).await;
            if place.is_some() {
                done.lock().push(name);
            }
            place.is_some()
        });
        match poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx))).await {
            Poll::Ready(served) => tokio::spawn(ready(served)),
            Poll::Pending => tokio::spawn(turn),
        }
    }

    #[tokio::test]
    async fn nobody_fills_the_places_and_turns_go_round() {
        let (places, done) = (Places::new(1, 4), Arc::default());
        let running = places.enter(&[0, 0]).await.expect("a free core");
        let mut greedy = Vec::new();
        for name in 0..4 {
            greedy.push(queue(&places, [1, 1], name, &done).await);
        }

        // One more of the same is sent away; another takes the place of their last.
        assert!(!queue(&places, [1, 1], 4, &done).await.await.expect("an answer"));
        let modest = queue(&places, [2, 1], 9, &done).await;
        assert!(!greedy.pop().expect("the last").await.expect("an answer"));

        assert_eq!(places.count(), (1, 4));
        drop(running);
        assert!(modest.await.expect("an answer"));
        for waiting in greedy {
            assert!(waiting.await.expect("an answer"));
        }
        assert_eq!(*done.lock(), [0, 9, 1, 2]);
        assert_eq!(places.count(), (0, 0));
    }

    #[tokio::test]
    async fn many_addresses_of_one_network_shut_nobody_out() {
        let (places, done) = (Places::new(1, 8), Arc::default());
        let running = places.enter(&[0, 0]).await.expect("a free core");
        let mut others = Vec::new();
        for address in 0..100 {
            others.push(queue(&places, [1, address], 0, &done).await);
        }

        let modest = queue(&places, [2, 1], 9, &done).await;

        assert_eq!(places.count(), (1, 8));
        drop(running);
        assert!(modest.await.expect("an answer"));
        let mut served = 0;
        for waiting in others {
            served += usize::from(waiting.await.expect("an answer"));
        }
        assert_eq!(served, 7);
        assert_eq!(done.lock().iter().position(|name| *name == 9), Some(1));
    }

    #[tokio::test]
    async fn those_who_left_make_room_and_lose_their_turn() {
        let (places, done) = (Places::new(1, 2), Arc::default());
        let running = places.enter(&[0, 0]).await.expect("a free core");
        for name in 0..2 {
            let left = queue(&places, [1, 1], name, &done).await;
            left.abort();
            left.await.expect_err("cancelled");
        }

        let waiting = [queue(&places, [1, 1], 2, &done).await, queue(&places, [1, 1], 3, &done).await];
        waiting[0].abort();
        drop(running);

        let [aborted, waiting] = waiting;
        let _ = aborted.await;
        assert!(waiting.await.expect("an answer"));
        assert_eq!(places.count(), (0, 0));
    }
}
