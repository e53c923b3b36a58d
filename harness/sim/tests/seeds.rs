//! Promise under test: all of the contract's, whatever breaks. Fault: several at once, by seed. And that a seed goes
//! the same way every time, without which none of it could be looked into.

use std::process::Command;

fn expect_success(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().expect("it is built");
    let told = String::from_utf8_lossy(&output.stdout);
    let wrong: Vec<&str> = told.lines().filter(|line| !line.contains(": valid, ")).collect();
    assert!(output.status.success(), "sim {}:\n{}", arguments.join(" "), wrong.join("\n"));
}

#[test]
fn every_promise_holds_under_fifty_seeds() {
    expect_success(&["--seeds", "50", "--keep-going"]);
}

#[test]
fn same_seed_gives_the_same_trace() {
    expect_success(&["--seeds", "10", "--from", "1000", "--twice"]);
}
