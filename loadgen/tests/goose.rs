//! Promise: under goose every message is accounted for as under any driver, goose's own displays show what was
//! measured, and its thresholds, baselines and flags are taken seriously. What is tested is `loadgen` itself, as a
//! process.

mod support;

use judge::Verdict;
use loadgen::measure::{LatencyKind, Outcome};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::running::{BUDGET, LONG_RUN, Running};
use tempfile::TempDir;

/// Friends, groups, and some who leave and come back; most members of a group only read.
const SHORT_RUN: [&str; 10] =
    ["--users", "60", "--rate", "300", "--duration", "2", "--ramp", "0.2", "--mix", "friend_chat=60"];
/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

fn goose<'a>(plan: &[&'a str], flags: &[&'a str]) -> Running {
    Running::start(&[&["run", "--driver", "goose"], plan, flags].concat())
}

/// A file in a directory, and goose's flag that names it.
fn file(directory: &TempDir, flag: &str, name: &str) -> (PathBuf, String) {
    let path = directory.path().join(name);
    let flag = format!("--goose={flag}={}", path.display());
    (path, flag)
}

fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Sends a GET, and answers with what came of it so far: all, or the beginning of a stream.
fn get(address: &str, path: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).expect("the dashboard listens");
    stream.set_read_timeout(Some(BUDGET)).expect("a time-out");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("a request is sent");
    let mut answer = Vec::new();
    let mut part = [0; 64 * 1024];
    while !path.ends_with("events") || answer.is_empty() {
        match stream.read(&mut part).expect("an answer") {
            0 => break,
            count => answer.extend_from_slice(&part[..count]),
        }
    }
    (stream, String::from_utf8_lossy(&answer).into_owned())
}

/// Asks until `path` answers with `what`.
fn eventually_shows(address: &str, path: &str, what: &str) {
    let begun = Instant::now();
    loop {
        let (_, answer) = get(address, path);
        if answer.contains(what) {
            return;
        }
        assert!(begun.elapsed() < BUDGET, "{path} never showed {what}: {answer}");
        std::thread::sleep(POLL);
    }
}

#[test]
fn every_message_is_accounted_for_and_shown_to_goose() {
    let directory = tempfile::tempdir().expect("a directory");
    let (page, report) = file(&directory, "--report-file", "goose.html");
    let kept = directory.path().join("kept");
    let mix = ["--mix", "group_chat=20", "--mix", "offline=20", "--arrivals", "constant"];
    let results = ["--format", "json", "--keep", kept.to_str().expect("a name"), &report];

    let (status, shown) = goose(&SHORT_RUN, &[&mix[..], &results].concat()).ends();

    assert_eq!(status.code(), Some(0), "{shown}");
    // Nothing of goose's is on standard output.
    let outcome: Outcome = serde_json::from_str(&shown).expect("JSON and nothing else");
    assert_eq!(outcome.verdict, Verdict::Valid, "{:?}", outcome.reasons);
    assert!(!outcome.interrupted && outcome.thresholds.is_empty());
    let account = &outcome.account;
    assert!(account.sent > 0 && account.acknowledged == account.sent && account.delivered == account.expected);
    assert_eq!(outcome.latencies[&LatencyKind::Lateness].count(), account.sent, "each message tells how late it was");
    let page = read(&page);
    // Logins are of before goose counts, and the last of a group are users who never send.
    for path in [LatencyKind::Login, LatencyKind::Ack, LatencyKind::Cross, LatencyKind::GroupLast] {
        assert!(page.contains(&format!("<td>{path}</td>")), "goose shows no row {path}");
    }
    let history = kept.join("history.jsonl.zst");
    let (status, shown) = Running::start(&["check", history.to_str().expect("a name")]).ends();
    assert_eq!(status.code(), Some(0), "{shown}");
}

#[test]
fn the_dashboard_shows_a_run_and_does_not_hold_it_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_, folder) = file(&directory, "--output-dir", "runs");
    let running = goose(&LONG_RUN, &["--goose=--dashboard", "--goose=--dashboard-port=0", &folder]);
    let line = running.says("listening on http://");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address");
    eventually_shows(address, "/", "<html");
    eventually_shows(address, "/api/v1/snapshot", "\"name\":\"ack\"");
    // A browser that stays.
    let (stays, _) = get(address, "/api/v1/events");

    running.signal(libc::SIGINT);

    let (status, shown) = running.ends();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(shown.contains("note: interrupted after") && shown.ends_with("valid\n"), "{shown}");
    drop(stays);
}

#[test]
fn a_failed_threshold_ends_the_run_and_is_told_with_its_figure() {
    let failing = "--goose=--threshold=p50<1us for CHAT ack";
    let (status, shown) = goose(&LONG_RUN, &[failing, "--goose=--threshold=error-rate<50%"]).ends();

    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(shown.contains("assertion failed: goose: p50<1us for CHAT ack (it is "), "{shown}");
    assert!(shown.contains("assertion holds: goose: error-rate<50% (it is 0"), "{shown}");
    assert!(shown.contains("note: interrupted after") && shown.ends_with("valid; 1 assertion failed\n"), "{shown}");
}

#[test]
fn a_threshold_judged_at_the_end_leaves_the_run_whole() {
    let thresholds = ["--goose=--threshold=p50<1us for CHAT ack", "--goose=--no-threshold-abort"];
    let (status, shown) = goose(&SHORT_RUN, &thresholds).ends();

    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(!shown.contains("interrupted") && shown.ends_with("valid; 1 assertion failed\n"), "{shown}");
}

#[test]
fn a_run_is_compared_with_its_baseline() {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, save) = file(&directory, "--report-file", "first.json");
    let (_, baseline) = file(&directory, "--baseline-file", "first.json");
    let (second, compare) = file(&directory, "--report-file", "second.md");

    let (status, shown) = goose(&SHORT_RUN, &[&save]).ends();
    assert_eq!(status.code(), Some(0), "{shown}");
    let (status, shown) = goose(&SHORT_RUN, &[&baseline, &compare]).ends();
    assert_eq!(status.code(), Some(0), "{shown}");

    assert!(read(&first).contains("\"ack\""));
    let report = read(&second);
    let row = report.lines().find(|line| line.starts_with("| CHAT | ack |")).expect("a row of acknowledgements");
    assert!(row.contains("(+") || row.contains("(-"), "each figure says how it changed: {row}");
}

#[test]
fn a_second_interrupt_ends_a_run_at_once() {
    let running = goose(&LONG_RUN, &["--nodes-as", "process"]);
    running.says("measuring");

    let (status, shown) = running.ends_when_interrupted_twice();

    assert_eq!(status.code(), Some(130), "{shown}");
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = format!("--goose=--dashboard-port={}", taken.local_addr().expect("an address").port());

    let (status, shown) = goose(&SHORT_RUN, &["--goose=--dashboard", &port]).ends();

    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(shown.contains("invalid: goose: Address already in use"), "{shown}");
}

#[test]
fn a_bad_flag_is_refused_before_anything_is_connected() {
    for (flag, expected) in [
        ("--nonsense", "unexpected argument '--nonsense'"),
        ("--users=3", "--users is the plan's business"),
        ("--threshold=p95", "p95"),
        ("--notes=of no use", "--notes"),
        ("--baseline-file=/nowhere/first.json", "/nowhere/first.json"),
        ("--run-time=5s", "--run-time is the plan's business"),
        ("--list", "--list would end the run"),
    ] {
        let running = goose(&LONG_RUN, &[&format!("--goose={flag}")]);
        let line = running.says("loadgen: ");
        assert!(line.starts_with("loadgen: goose: ") && line.contains(expected), "{flag}: {line}");
        let (status, shown) = running.ends();
        assert_eq!(status.code(), Some(3), "{flag}");
        assert!(shown.is_empty(), "{flag}: {shown}");
    }
}

#[test]
fn goose_has_no_closed_model() {
    let running = goose(&["--window", "3"], &[]);
    running.says("goose sends at a rate");
    let (status, _) = running.ends();
    assert_eq!(status.code(), Some(3));
}
