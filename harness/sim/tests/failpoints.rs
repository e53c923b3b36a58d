//! Bugs that are built into the node are found, each by a promise that it breaks.
//!
//! One test, since a failpoint holds for the whole process.

use chat::failpoint;
use judge::Guarantee::{self, DeliveredOnce, Durable, HarmlessResend, InOrder, NoPhantoms};
use judge::Verdict;
use sim::{Schedule, Shape};

/// A bug is to be found within so many seeds.
const SEEDS: u64 = 40;

/// The bug strikes as `points` says in each seed anew; one of the promises is found broken.
fn breaks(points: &str, promises: &[Guarantee]) {
    let found = (1..=SEEDS).find(|seed| {
        failpoint::clear();
        failpoint::set(points).expect("a failpoint of ours");
        let outcome =
            sim::run(&Schedule::from_seed(*seed, &Shape::default()), false).expect("a cluster without faults starts");
        promises.iter().any(|promise| outcome.judgement.of(*promise).verdict() == Verdict::Invalid)
    });
    let seed = found.unwrap_or_else(|| panic!("{points} breaks {promises:?}, and no seed shows it"));
    eprintln!("{points} breaks one of {promises:?}: seed {seed}");
}

#[test]
fn seeded_bugs_are_found() {
    breaks("writer::ack_early=return", &[Durable]);
    breaks("push::drop=60*off->5*return", &[DeliveredOnce, InOrder]);
    breaks("push::twice=60*off->1*return", &[DeliveredOnce]);
    breaks("push::swap=60*off->5*return", &[InOrder]);
    breaks("push::alter=60*off->1*return", &[NoPhantoms]);
    breaks("push::misdeliver=60*off->1*return", &[NoPhantoms]);
    breaks("writer::forget_mid=return", &[HarmlessResend]);
    breaks("session::offline_lost=return", &[DeliveredOnce]);
}
