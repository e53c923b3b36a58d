//! What tests have in common: a server of their own, its language, and a run against it; `loadgen` as a process.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod fault;
pub mod running;
pub mod server;
pub mod sse;
pub mod tongue;

use loadgen::cluster::Nodes;
use loadgen::measure::Outcome;
use loadgen::plan::{Arrivals, Plan};
use loadgen::run;
use loadgen::run::Silent;
use loadgen::scenario::Kind;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Far more than any run here takes: a run that does not end by itself fails its test.
const RUN_BUDGET: Duration = Duration::from_secs(90);

/// Friends who write to each other at a set rate; short time-outs, since what does not come at once never comes.
pub fn friends(users: u32, rate: f64, duration_s: f64) -> Plan {
    Plan {
        users,
        rate,
        duration_s,
        arrivals: Arrivals::Constant,
        ramp_s: 0.1,
        drain_s: 4.0,
        mix: BTreeMap::from([(Kind::FriendChat, 1.0)]),
        connect_timeout_s: 5.0,
        outstanding: Some(64),
        lost_after_s: 1.0,
        ..Plan::default()
    }
}

/// The same against a classic server.
pub fn classic(profile: &str, plan: Plan) -> Plan {
    Plan { profile: Some(profile.to_owned()), ..plan }
}

/// Carries out a plan, which must end by itself.
pub async fn run(plan: Plan, targets: &[String]) -> Outcome {
    let running = run::execute(plan, targets, Nodes::Elsewhere, &Silent, CancellationToken::new());
    let outcome = tokio::time::timeout(RUN_BUDGET, running).await.expect("a run ends by itself");
    outcome.expect("nothing is wrong on this side")
}

/// What a failed assertion shows.
pub fn told(outcome: &Outcome) -> String {
    let Outcome { verdict, reasons, warnings, account, errors, .. } = outcome;
    format!("{verdict:?} {reasons:?}\n{warnings:?}\n{account:?}\n{errors:?}")
}

/// All that was sent arrived, once, in order.
#[track_caller]
pub fn assert_nothing_lost(outcome: &Outcome) {
    let account = &outcome.account;
    assert!(account.sent > 0 && account.is_clean(), "{}", told(outcome));
    assert_eq!(account.delivered, account.expected, "{}", told(outcome));
    assert_eq!(outcome.verdict, judge::Verdict::Valid, "{}", told(outcome));
}
