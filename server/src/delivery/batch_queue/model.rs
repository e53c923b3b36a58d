//! The queues against one plain list for each.

use super::*;
use futures_util::FutureExt;
use proptest::prelude::*;

const QUEUES: usize = 2;
const CONVERSATIONS: u64 = 4;
const MOST_STEPS: usize = 40;
const CASES: u32 = 60;

#[derive(Clone, Debug, PartialEq)]
struct Text {
    conv: u64,
    bytes: usize,
    number: usize,
}

impl Message for Text {
    fn conv(&self) -> Conversation {
        Conversation::Group(self.conv)
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

#[derive(Clone, Debug)]
enum Step {
    Submit { conv: u64, bytes: usize, times: usize },
    Batch { queue: usize },
    Rest { queue: usize },
}

fn step() -> impl Strategy<Value = Step> {
    // Of every kind: many fit into a batch, a few, one alone; or not even that.
    let texts = prop_oneof![
        6 => (0..1_000_usize, 1..2 * BATCH_MESSAGES),
        1 => (0..1_000_usize, QUEUE_MESSAGES - 10..QUEUE_MESSAGES + 10),
        4 => (BATCH_BYTES / 3..2 * BATCH_BYTES, 1..5_usize),
        2 => (QUEUE_BYTES / 3..2 * QUEUE_BYTES, 1..3_usize),
    ];
    prop_oneof![
        4 => (0..CONVERSATIONS, texts).prop_map(|(conv, (bytes, times))| Step::Submit { conv, bytes, times }),
        6 => (0..QUEUES).prop_map(|queue| Step::Batch { queue }),
        1 => (0..QUEUES).prop_map(|queue| Step::Rest { queue }),
    ]
}

struct Lists {
    queues: BatchQueues<Text>,
    ends: Vec<Batches<Text>>,
    expected: Vec<VecDeque<Text>>,
    /// Of what is expected.
    bytes: [usize; QUEUES],
    submitted: usize,
}

impl Lists {
    fn new() -> Self {
        let mut ends = Vec::new();
        let queues = BatchQueues::start(QUEUES, |_, end| ends.push(end));
        let expected = (0..QUEUES).map(|_| VecDeque::new()).collect();
        Lists { queues, ends, expected, bytes: [0; QUEUES], submitted: 0 }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Submit { conv, bytes, times } => (0..times).for_each(|_| self.submit(conv, bytes)),
            Step::Batch { queue } => {
                let batch = self.ends[queue].batch().now_or_never();
                assert_eq!(batch.is_none(), self.expected[queue].is_empty(), "waits only where there is nothing");
                self.check_batch(queue, batch.map(|batch| batch.expect("the beginnings are there")));
            }
            Step::Rest { queue } => {
                let waiting = self.expected[queue].len();
                let rest = self.ends[queue].rest();
                assert!(rest.len() == waiting || rest.len() >= QUEUE_MESSAGES, "{} of {waiting}", rest.len());
                self.check_order(queue, rest);
            }
        }
        for (end, expected) in self.ends.iter().zip(self.bytes) {
            assert_eq!(end.bytes.load(Ordering::Acquire), expected);
        }
    }

    fn submit(&mut self, conv: u64, bytes: usize) {
        self.submitted += 1;
        let text = Text { conv, bytes, number: self.submitted };
        let queue = self.queues.place(text.conv());
        let (count, sum) = (self.expected[queue].len(), self.bytes[queue]);
        match self.queues.submit(text.clone()) {
            Ok(()) => {
                // One batch may be out of the channel, and waits to be taken.
                assert!(count < QUEUE_MESSAGES + BATCH_MESSAGES && sum <= QUEUE_BYTES, "{count} with {sum} bytes wait");
                self.bytes[queue] += bytes;
                self.expected[queue].push_back(text);
            }
            Err(refused) => {
                assert_eq!(refused, text);
                assert!(count >= QUEUE_MESSAGES || sum > QUEUE_BYTES, "refused, though {count} with {sum} bytes wait");
            }
        }
    }

    fn check_batch(&mut self, queue: usize, batch: Option<Vec<Text>>) {
        let Some(batch) = batch else { return };
        let bytes: usize = batch.iter().map(Message::bytes).sum();
        assert!((1..=BATCH_MESSAGES).contains(&batch.len()), "{} in a batch", batch.len());
        assert!(batch.len() == 1 || bytes <= BATCH_BYTES, "{bytes} bytes in a batch");
        self.check_order(queue, batch);
    }

    /// What comes out is what waited longest: nothing is lost, doubled, or out of order.
    fn check_order(&mut self, queue: usize, messages: Vec<Text>) {
        let expected: Vec<Text> = self.expected[queue].drain(..messages.len()).collect();
        self.bytes[queue] -= expected.iter().map(Message::bytes).sum::<usize>();
        assert!(messages == expected, "{messages:?} came instead of {expected:?}");
    }

    /// Nobody submits any more: all that waits comes out, and then the end.
    fn finish(self) {
        let Lists { queues, mut ends, expected, .. } = self;
        drop(queues);
        for (end, expected) in ends.iter_mut().zip(expected) {
            let mut left = Vec::new();
            while let Some(batch) = end.batch().now_or_never().expect("the beginnings are gone") {
                left.extend(batch);
            }
            assert!(expected == left);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn queues_keep_order_and_bounds_and_lose_nothing(steps in prop::collection::vec(step(), 1..MOST_STEPS)) {
        let mut lists = Lists::new();
        steps.iter().for_each(|step| lists.step(step));
        lists.finish();
    }
}
