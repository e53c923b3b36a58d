//! Promise under test: `harness sim` says by its exit code what a run came to, and keeps what it is asked to keep.

use std::path::Path;
use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_harness")).arg("sim").args(arguments).output().expect("it is built")
}

fn expect(arguments: &[&str], code: i32, words: &str) {
    let output = sim(arguments);
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert_eq!(output.status.code(), Some(code), "sim {}: {told}", arguments.join(" "));
    assert!(told.contains(words), "{words:?} is not in: {told}");
}

#[test]
fn exit_code_says_what_a_run_came_to() {
    expect(&["--seeds", "3", "--from", "7"], 0, "3 schedules");
    expect(&["--seeds", "0"], 2, "unknown");
    expect(&["--seeds", "many"], 3, "invalid value");
    expect(&["--minutes", "0"], 3, "--minutes");
    expect(&["--replay", "no/such/file.json"], 3, "cannot read no/such/file.json");
}

#[test]
fn schedule_that_was_written_is_lived_through_again_and_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let text = |path: &Path| path.to_str().expect("a path in ASCII").to_owned();
    let (schedule, junit) = (text(&path("seed-7.json")), text(&path("junit.xml")));

    expect(&["--from", "7", "--write", &schedule], 0, "");
    expect(&["--replay", &schedule, "--junit", &junit], 0, "trace ");

    let junit = std::fs::read_to_string(junit).expect("it is written");
    assert!(junit.contains("G2 delivered, once") && !junit.contains("<failure"), "{junit}");
}
