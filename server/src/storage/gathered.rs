//! What many want to know at the same moment, asked of the database in few calls.
//!
//! Fifty thousand clients that come back at once must not mean as many reads of each kind, each a round trip on one of
//! the few connections that commits need as well. Who asks while no call is under way is answered by a call of its own,
//! at once; what others ask for meanwhile goes together in the next. Nothing is delayed to collect more. Nobody is
//! answered by a call that began before they asked: such a call could miss what they have just committed.
//!
//! Asking takes no longer than a call to the storage may take by itself, the wait for its turn included. A call that
//! fails fails all that is asked in it, but for what one of them may be at fault for: then they are asked again in
//! halves, and in the end only that one fails.

use crate::storage::{Error, Result};
use chat_environment::Tasks;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Questions that wait for their turn; beyond it those who ask wait for room, and no longer in all than for an answer.
const QUEUE: usize = 4_096;
/// How long a call is waited for before the next goes beside it: one connection may hang while the others work.
const SLOW: Duration = Duration::from_millis(100);
/// Calls at once. If all of them are slow it is the database that is, and more calls would not help.
const CALLS: usize = 2;

/// A read of one value for each key.
pub struct Gathered<K, V> {
    questions: mpsc::Sender<Question<K, V>>,
    patience: Duration,
}

struct Question<K, V> {
    key: K,
    reply: Reply<V>,
}

type Reply<V> = oneshot::Sender<Result<V>>;

/// Who asks for which key.
type Asked<K, V> = BTreeMap<K, Vec<Reply<V>>>;

/// Reads one value for each key, in their order; they come in ascending order, each once.
pub type Call<K, V> = Box<dyn Fn(Vec<K>) -> BoxFuture<'static, Result<Vec<V>>> + Send + Sync>;

/// How a read is to be gathered.
#[derive(Clone)]
pub struct Limits {
    /// Questions that go together in one call.
    pub at_once: usize,
    /// How long anybody waits for an answer; then [`Error::Unavailable`].
    pub patience: Duration,
    /// Calls at once, together with those of all kinds that share this.
    pub turns: Arc<Semaphore>,
}

impl<K: Ord + Clone + Send + 'static, V: Clone + Send + 'static> Gathered<K, V> {
    /// Starts the task that asks, which ends when this is dropped.
    pub fn start(tasks: &Tasks, name: &'static str, limits: Limits, call: Call<K, V>) -> Self {
        let (questions, queue) = mpsc::channel(QUEUE);
        let asker = Arc::new(Asker { tasks: tasks.clone(), name, turns: limits.turns, call });
        tasks.spawn(name, run(asker, limits.at_once, queue));
        Gathered { questions, patience: limits.patience }
    }

    /// # Errors
    /// [`Error::Unavailable`], whatever the cause: what was read for others is nobody's to act on.
    pub async fn read(&self, key: K) -> Result<V> {
        let nobody = || Error::Unavailable("the node is stopping".into());
        let asking = async {
            let (reply, answer) = oneshot::channel();
            self.questions.send(Question { key, reply }).await.map_err(|_| nobody())?;
            answer.await.map_err(|_| nobody())?
        };
        let too_late = |_| Err(Error::Unavailable(format!("no answer within {} ms", self.patience.as_millis())));
        timeout(self.patience, asking).await.unwrap_or_else(too_late)
    }
}

async fn run<K, V>(asker: Arc<Asker<K, V>>, at_once: usize, mut queue: mpsc::Receiver<Question<K, V>>)
where
    K: Ord + Clone + Send + 'static,
    V: Clone + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CALLS));
    let mut questions = Vec::new();
    while let Ok(place) = places.clone().acquire_owned().await
        && queue.recv_many(&mut questions, at_once).await > 0
    {
        let mut asked = Asked::new();
        for Question { key, reply } in questions.drain(..) {
            asked.entry(key).or_default().push(reply);
        }
        let asking = asker.tasks.spawn_short(asker.name, asker.clone().answer(asked, place));
        let _ = timeout(SLOW, asking).await;
    }
}

struct Asker<K, V> {
    tasks: Tasks,
    name: &'static str,
    turns: Arc<Semaphore>,
    call: Call<K, V>,
}

impl<K: Ord + Clone, V: Clone> Asker<K, V> {
    async fn answer(self: Arc<Self>, asked: Asked<K, V>, _place: OwnedSemaphorePermit) {
        let mut left = vec![asked];
        while let Some(mut asked) = left.pop() {
            let _turn = self.turns.acquire().await;
            asked.retain(|_, replies| replies.iter().any(|reply| !reply.is_closed()));
            if asked.is_empty() {
                continue;
            }
            let keys = asked.keys().cloned().collect();
            match self.tasks.catch(self.name, (self.call)(keys)).await {
                Ok(Ok(values)) => tell(asked, values),
                // A row that cannot be read, or that no code of ours expects, is somebody's.
                Ok(Err(Error::Unusable(_))) | Err(_) if asked.len() > 1 => left.extend(halves(asked)),
                Ok(Err(Error::Unavailable(why))) => refuse(asked, &why),
                Ok(Err(error)) => refuse(asked, &error.to_string()),
                Err(died) => refuse(asked, &died.to_string()),
            }
        }
    }
}

fn tell<K: Ord, V: Clone>(asked: Asked<K, V>, values: Vec<V>) {
    for (mut replies, value) in asked.into_values().zip(values) {
        let Some(last) = replies.pop() else { continue };
        for reply in replies {
            // To one who has given up it does not matter.
            let _ = reply.send(Ok(value.clone()));
        }
        let _ = last.send(Ok(value));
    }
}

fn refuse<K: Ord, V>(asked: Asked<K, V>, why: &str) {
    for reply in asked.into_values().flatten() {
        let _ = reply.send(Err(Error::Unavailable(why.into())));
    }
}

fn halves<K: Ord + Clone, V>(mut asked: Asked<K, V>) -> [Asked<K, V>; 2] {
    let middle = asked.keys().nth(asked.len() / 2).cloned();
    let upper = middle.map(|middle| asked.split_off(&middle)).unwrap_or_default();
    [upper, asked]
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use parking_lot::Mutex;
    use tokio::sync::watch;
    use tokio::task::JoinHandle;
    use tokio::time::{Instant, sleep};

    const PATIENCE: Duration = Duration::from_secs(5);
    const AT_ONCE: usize = 4;
    /// What a call takes.
    const CALL: Duration = Duration::from_millis(10);
    /// These keys make their call fail, or hang.
    const UNREADABLE: u64 = 66;
    const BUG: u64 = 67;
    const OUTAGE: u64 = 68;
    const HANGS: u64 = 69;

    /// Doubles numbers, and remembers what it was asked.
    struct Stage {
        doubles: Arc<Gathered<u64, u64>>,
        calls: Arc<Mutex<Vec<Vec<u64>>>>,
        hang: watch::Sender<bool>,
        tasks: Tasks,
    }

    impl Stage {
        fn new() -> Self {
            Stage::taking(Arc::new(Semaphore::new(2)))
        }

        /// Whose calls take these turns.
        fn taking(turns: Arc<Semaphore>) -> Self {
            let (calls, hang) = (Arc::<Mutex<Vec<Vec<u64>>>>::default(), watch::Sender::new(true));
            let (seen, hanging, tasks) = (calls.clone(), hang.clone(), Tasks::default());
            let call: Call<u64, u64> = Box::new(move |keys| {
                seen.lock().push(keys.clone());
                let mut hanging = hanging.subscribe();
                async move {
                    sleep(CALL).await;
                    if keys.contains(&HANGS) {
                        let _ = hanging.wait_for(|hang| !hang).await;
                    }
                    assert!(!keys.contains(&BUG), "injected by a test");
                    match keys.iter().find(|key| [UNREADABLE, OUTAGE].contains(key)) {
                        Some(&UNREADABLE) => Err(Error::Unusable("a row is unreadable".into())),
                        Some(_) => Err(Error::Unavailable("an outage".into())),
                        None => Ok(keys.iter().map(|key| key * 2).collect()),
                    }
                }
                .boxed()
            });
            let limits = Limits { at_once: AT_ONCE, patience: PATIENCE, turns };
            let doubles = Arc::new(Gathered::start(&tasks, "doubles", limits, call));
            Stage { doubles, calls, hang, tasks }
        }

        /// Asks in a task of its own, which has asked once this returns.
        async fn ask(&self, key: u64) -> JoinHandle<Result<u64>> {
            let doubles = self.doubles.clone();
            let asking = tokio::spawn(async move { doubles.read(key).await });
            sleep(CALL / 10).await;
            asking
        }

        async fn ask_all(&self, keys: &[u64]) -> Vec<Option<u64>> {
            join_all(keys.iter().map(|key| self.doubles.read(*key).map(Result::ok))).await
        }

        fn calls(&self) -> Vec<Vec<u64>> {
            self.calls.lock().clone()
        }
    }

    async fn answer(asking: JoinHandle<Result<u64>>) -> Option<u64> {
        asking.await.expect("it did not panic").ok()
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_alone_waits_for_one_call_only() {
        let (stage, start) = (Stage::new(), Instant::now());

        for key in 1..=3 {
            assert_eq!(stage.doubles.read(key).await.ok(), Some(key * 2));
        }

        assert_eq!(start.elapsed(), CALL * 3);
        assert_eq!(stage.calls(), [[1], [2], [3]]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_while_a_call_is_under_way_goes_together_in_the_next() {
        let (stage, start) = (Stage::new(), Instant::now());
        let first = stage.ask(1).await;

        // The same key as well: its value may have changed since that call began.
        assert_eq!(stage.ask_all(&[7, 1, 9]).await, [Some(14), Some(2), Some(18)]);

        assert_eq!(answer(first).await, Some(2));
        assert_eq!(stage.calls(), [vec![1], vec![1, 7, 9]]);
        assert_eq!(start.elapsed(), CALL * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn call_is_for_no_more_than_its_limit_and_asks_for_each_key_once() {
        let stage = Stage::new();
        let first = stage.ask(1).await;

        let answers = stage.ask_all(&[2, 3, 2, 4, 5, 6]).await;

        assert_eq!(answers, [4, 6, 4, 8, 10, 12].map(Some));
        assert_eq!(answer(first).await, Some(2));
        assert_eq!(stage.calls(), [vec![1], vec![2, 3, 4], vec![5, 6]]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_of_them_is_at_fault_for_fails_nobody_else() {
        for culprit in [UNREADABLE, BUG] {
            let stage = Stage::new();
            let first = stage.ask(1).await;

            assert_eq!(stage.ask_all(&[2, culprit, 3, 99]).await, [Some(4), None, Some(6), Some(198)]);

            assert_eq!(answer(first).await, Some(2));
            assert_eq!(stage.tasks.dead(), None);
            assert_eq!(stage.ask_all(&[4]).await, [Some(8)]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn outage_fails_all_that_is_asked_in_that_call_and_nothing_is_tried_again() {
        let stage = Stage::new();
        let first = stage.ask(1).await;

        assert_eq!(stage.ask_all(&[2, 3, 4, OUTAGE, 5]).await, [None, None, None, None, Some(10)]);

        assert_eq!(answer(first).await, Some(2));
        assert_eq!(stage.calls(), [vec![1], vec![2, 3, 4, OUTAGE], vec![5]]);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_all_kinds_share_their_turns() {
        let turns = Arc::new(Semaphore::new(1));
        let (one, other) = (Stage::taking(turns.clone()), Stage::taking(turns));
        let start = Instant::now();

        let asking = [one.ask(1).await, other.ask(2).await];
        for (asking, expected) in asking.into_iter().zip([2, 4]) {
            assert_eq!(answer(asking).await, Some(expected));
        }

        assert_eq!(start.elapsed(), CALL * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_any_more_is_not_asked() {
        let stage = Stage::new();
        let first = stage.ask(1).await;
        let give_up = [stage.ask(2).await, stage.ask(3).await];
        let stays = stage.ask(3).await;

        give_up.iter().for_each(JoinHandle::abort);

        assert_eq!((answer(first).await, answer(stays).await), (Some(2), Some(6)));
        assert_eq!(stage.calls(), [[1], [3]]);
    }

    #[tokio::test(start_paused = true)]
    async fn call_that_hangs_keeps_others_waiting_for_a_moment_only() {
        let (stage, start) = (Stage::new(), Instant::now());
        let hangs = stage.ask(HANGS).await;

        assert_eq!(stage.ask_all(&[1]).await, [Some(2)]);
        assert_eq!(start.elapsed(), SLOW + CALL);
        assert_eq!(stage.ask_all(&[2]).await, [Some(4)]);
        assert_eq!(start.elapsed(), SLOW + CALL * 2);

        stage.hang.send_replace(false);
        assert_eq!(answer(hangs).await, Some(HANGS * 2));
    }

    #[tokio::test(start_paused = true)]
    async fn database_that_hangs_is_asked_little_and_waited_for_no_longer_than_for_one_call() {
        let (stage, start) = (Stage::new(), Instant::now());

        let asking: Vec<u64> = (0..QUEUE as u64 * 2).map(|_| HANGS).collect();
        let answers = stage.ask_all(&asking).await;

        assert!(answers.iter().all(Option::is_none));
        assert_eq!(start.elapsed(), PATIENCE);
        assert_eq!(stage.calls().len(), CALLS);
        let why = stage.doubles.read(1).await.expect_err("both calls still hang").to_string();
        assert_eq!(why, "database unavailable: no answer within 5000 ms");

        stage.hang.send_replace(false);
        assert_eq!(stage.ask_all(&[1]).await, [Some(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_a_node_that_is_stopping_learns_it_at_once() {
        let start = Instant::now();
        let (questions, queue) = mpsc::channel(1);
        let doubles: Gathered<u64, u64> = Gathered { questions, patience: PATIENCE };
        let asking = doubles.read(1);
        drop(queue);

        assert!(matches!(asking.await, Err(Error::Unavailable(_))));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
