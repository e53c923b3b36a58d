//! The stories of a cluster: one promise a file, each story told on every kind of cluster that can tell it.
//!
//! A story that a kind lacks something for is listed as ignored, with what it lacks. `cargo test --test stories --
//! NAME` tells some of them, and `-- processes::` all of one kind.

mod databases;
mod edges;
mod everyday;
mod faults;
mod links;
mod nginx;
mod nodes;
mod redis;
mod replicas;
mod retention;
mod sessions;
mod suite;

use harness::cluster::Kind;
use harness::processes::InProcesses;
use libtest_mimic::Arguments;

/// Every kind of cluster.
const KINDS: &[&dyn Kind] = &[
    &InProcesses,
    #[cfg(feature = "containers")]
    &harness::containers::InContainers,
];

fn main() {
    let trials = KINDS.iter().flat_map(|kind| {
        let stories = [
            everyday::stories(),
            sessions::stories(),
            nodes::stories(),
            redis::stories(),
            databases::stories(),
            nginx::stories(),
            links::stories(),
            edges::stories(),
            faults::stories(),
            retention::stories(),
        ];
        stories.into_iter().flatten().map(|story| story.on(*kind))
    });
    // A database of several servers takes its time to start: once is enough here, and `harness table` has the rest.
    let trials = trials.chain(replicas::stories().into_iter().map(|story| story.on(&InProcesses)));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
