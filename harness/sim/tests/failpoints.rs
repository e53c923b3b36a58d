//! Promise under test: the simulator's own. Every bug that can be switched on in the node is found, by a promise that
//! it breaks.

use sim::proof::{BUGS, Proof, Table};

#[tokio::test]
async fn bugs_that_are_built_in_are_found() {
    let proof = Proof::new(env!("CARGO_BIN_EXE_sim-failpoints").into());
    let mut table = Table::default();
    for bug in BUGS {
        table.add(*bug, proof.of(bug).await.expect("every run comes to an end"));
    }
    println!("{table}");
    assert!(table.not_found().is_empty(), "not found: {}", table.not_found().join(", "));
}
