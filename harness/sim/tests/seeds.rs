//! Promise under test: all of the contract's, whatever breaks. Fault: several at once, by seed. And that a seed goes
//! the same way every time, without which none of it could be looked into.

use judge::Guarantee;
use sim::campaign::{self, Asked, Plan};
use sim::{Lived, NOT_JUDGED, Schedule, Shape, Workers};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

fn workers() -> Workers {
    Workers::of(env!("CARGO_BIN_EXE_sim").into())
}

#[tokio::test]
async fn every_promise_holds_under_fifty_seeds() {
    let plan = Plan { from: 1, seeds: Asked::Seeds(50), shape: Shape::default(), time: None, keeps_going: true };
    let tally = campaign::run(&plan, &workers(), |_, _, _| ControlFlow::Continue(())).await.expect("workers");
    let failed: Vec<String> =
        tally.failed.iter().map(|failed| format!("seed {} {}", failed.schedule.seed, failed.failure)).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(tally.schedules, 50);
}

#[test]
fn simulations_judge_every_promise_but_those_that_are_named() {
    let mut judged = BTreeSet::new();
    for seed in 1..=10 {
        let lived = sim::run(&Schedule::from_seed(seed, &Shape::default()), false).expect("it begins");
        let findings = lived.judgement.findings.iter().filter(|finding| finding.judged + finding.open > 0);
        judged.extend(findings.map(|finding| finding.guarantee));
    }
    let others: Vec<Guarantee> = Guarantee::ALL.iter().copied().filter(|one| !judged.contains(one)).collect();
    assert_eq!(others, NOT_JUDGED);
}

#[tokio::test]
async fn run_that_is_broken_off_ends_with_the_seeds_under_way() {
    let asked = Asked::Seeds(1_000);
    let plan = Plan { from: 1, seeds: asked, shape: Shape::default(), time: None, keeps_going: true };
    let workers = workers();
    let tally = campaign::run(&plan, &workers, |_, _, _| ControlFlow::Break(())).await.expect("workers");
    assert!((1..=workers.at_once as u64 + 1).contains(&tally.schedules), "{}", tally.schedules);
    assert_eq!(tally.stopped_short_of, Some(asked));
    let all = Plan { seeds: Asked::Seeds(1), ..plan };
    let tally = campaign::run(&all, &workers, |_, _, _| ControlFlow::Break(())).await.expect("workers");
    assert_eq!((tally.schedules, tally.stopped_short_of), (1, None), "nothing was left to begin");
}

#[tokio::test]
async fn same_seed_gives_the_same_trace() {
    for seed in 1_000..1_010 {
        let schedule = Schedule::from_seed(seed, &Shape::default());
        let (one, other) = (workers().live(&schedule, true).await, workers().live(&schedule, true).await);
        let (Lived::Told(one), Lived::Told(other)) = (one.expect("a worker"), other.expect("a worker")) else {
            panic!("seed {seed} comes to no end");
        };
        let parted = one.trace.iter().zip(&other.trace).find(|(one, other)| one != other);
        assert_eq!(one.hash, other.hash, "seed {seed} goes another way the second time: {parted:?}");
    }
}

#[tokio::test]
async fn schedule_that_hangs_is_ended() {
    let mut workers = workers();
    workers.limit = std::time::Duration::ZERO;
    assert_eq!(workers.live(&Schedule::from_seed(1, &Shape::default()), false).await.expect("a worker"), Lived::Hung);
}

#[tokio::test]
async fn worker_that_dies_leaves_its_last_words() {
    let mut schedule = Schedule::from_seed(1, &Shape::default());
    // Nobody has that number.
    schedule.steps[0].user = schedule.users - 1;
    schedule.nodes = 0;
    let Lived::Died(words) = workers().live(&schedule, false).await.expect("a worker") else {
        panic!("a cluster without nodes has no history");
    };
    assert!(words.contains("exit status"), "{words}");
}
