//! A run that found a message lost, for tests of how it is shown.

use super::Found;
use judge::Guarantee;
use judge::history::{Entry, Event, FORMAT, To};
use serde_json::json;
use sim::campaign::{Failed, Tally};
use sim::worker::Report;
use sim::{Failure, Lived, Reached, Schedule, Shape};
use std::time::Duration;
use uuid::Uuid;

pub fn found() -> Found {
    let mut whole = Schedule::from_seed(7, &Shape::default());
    let mut left = json!(whole);
    (left["users"], left["nodes"], left["dialects"]) = (json!(2), json!(2), json!([]));
    left["faults"] = json!([
        { "at_ms": 3_000, "length_ms": 2_000, "what": { "pause": { "node": 1 } } },
        { "at_ms": 3_500, "length_ms": 900, "what": { "stall": {} } },
    ]);
    left["steps"] = json!([{ "at_ms": 4_000, "user": 0, "what": { "write": { "friend": 1, "qos": 1 } } }]);
    let left: Schedule = serde_json::from_value(left).expect("a schedule");
    // However large schedules from seeds are.
    (whole.users, whole.steps) = (4, vec![left.steps[0].clone(); 300]);
    whole.faults = vec![left.faults[0].clone(); 9];
    let again = "harness sim --replay target/harness/sim/seed-7.json".to_owned();
    let failure = Failure::Broken(vec![Guarantee::DeliveredOnce]);
    Found { whole, left, runs: 123, failure, lived: lived(), again }
}

fn lived() -> Lived {
    let (mid, body, conv) = (Uuid::from_u128(1), 1, "d1-2".to_owned());
    let login = |user, node: &str| Event::Login { user, session: 1, node: Some(node.into()), waiting: 0 };
    let push = || Event::Push { user: 2, session: 1, from: 1, conv: conv.clone(), seq: 1, mid: Some(mid), body };
    let events = [
        (0, Event::Begin { format: FORMAT, run: 0 }),
        (100, login(1, "node-0")),
        (200, login(2, "node-1")),
        (3_000, Event::Fault { what: "Pause { node: 1 }".into(), healed: false }),
        (4_000, Event::Send { user: 1, session: 1, to: To::User(2), mid, body, qos: 1, due: 0, again: false }),
        (4_005, Event::Ack { user: 1, session: 1, mid, conv: Some(conv.clone()), seq: Some(1) }),
        (4_010, push()),
        (5_000, Event::Fault { what: "Pause { node: 1 }".into(), healed: true }),
        (5_100, push()),
        (9_000, Event::Drained { user: 2 }),
    ];
    let entries = events.into_iter().map(|(ms, event)| Entry { t: ms * 1_000, event }).collect();
    Lived::Told(Report {
        verdict: judge::Verdict::Invalid,
        problems: Vec::new(),
        deliveries: 1,
        hash: 0xabc,
        events: 10,
        length_ms: 9_000,
        reached: Reached::default(),
        entries,
        trace: Vec::new(),
    })
}

pub fn tally() -> Tally {
    let Found { whole, failure, lived, .. } = found();
    let mut reached = Reached::default();
    reached.add("fault: pause", 2_468);
    Tally {
        schedules: 2_234,
        canaries: 12,
        deliveries: 345_678,
        length_ms: 49_360_000,
        to_reach: vec!["fault: pause".to_owned(), "fault: stall".to_owned()],
        reached,
        failed: vec![Failed { schedule: whole, failure, lived }],
        took: Duration::from_secs(100),
        stopped_short_of: None,
    }
}
