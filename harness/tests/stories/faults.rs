//! Promise: whatever breaks, no acknowledged message is lost, doubled or reordered (G1, G2, G3), every promise of the
//! contract is kept, and service resumes by itself.
//! Fault: each of `harness table`, in the midst of fifty people who chat across all nodes.

use crate::suite::Story as Test;
use harness::cluster::{Kind, Setup};
use harness::fault::{self, Fault, KINDS};
use harness::story::Story;
use std::time::Duration;

/// One for each fault.
pub fn stories() -> Vec<Test> {
    let faults = KINDS.iter().flat_map(|kind| kind.table);
    let test = |(text, seconds): &'static (&'static str, u64)| {
        let fault: Fault = text.parse().expect("it is a fault");
        // Those of a database of several servers are for `harness table --galera 3`.
        fault.fits(&Setup::nodes(3)).then(|| Test {
            name: format!("faults::nothing_is_lost_through_{}", text.replace([' ', '-'], "_")),
            needs: fault.needs(),
            tell: Box::new(|kind| Box::pin(nothing_is_lost(kind, text, fault, Duration::from_secs(*seconds)))),
        })
    };
    faults.filter_map(test).collect()
}

async fn nothing_is_lost(kind: &dyn Kind, text: &str, fault: Fault, lasting: Duration) {
    let cluster = kind.start(fault::prepare(Setup::nodes(3), [&fault])).await.expect("a cluster of three nodes");
    Story::on(&*cluster).lasting(lasting).nothing_is_lost_through(text).await;
}
