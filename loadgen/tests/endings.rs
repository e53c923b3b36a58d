//! Promise: whatever ends a run early, what ran is told, nothing hangs, and nothing stays behind.

mod support;

use support::running::{LONG_RUN, Running, send_signal};

fn run_with<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    [&["run"], &LONG_RUN[..], flags].concat()
}

#[test]
fn an_interrupted_run_tells_in_full_what_ran() {
    for place in ["threads", "process"] {
        let running = Running::start(&run_with(&["--nodes-as", place]));
        running.says("measuring");
        running.says("delivered/s");

        running.signal(libc::SIGINT);

        let (status, shown) = running.ends();
        assert_eq!(status.code(), Some(0), "{place}: {shown}");
        assert!(shown.contains("note: interrupted after") && shown.ends_with("valid\n"), "{place}: {shown}");
    }
}

#[test]
fn a_run_interrupted_before_it_measures_says_so() {
    let running = Running::start(&["run", "--users", "8", "--ramp", "600"]);
    running.says("logins");

    running.signal(libc::SIGINT);

    let (status, shown) = running.ends();
    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(shown.contains("interrupted before the measured time"), "{shown}");
}

#[test]
fn a_second_interrupt_ends_a_run_at_once() {
    let running = Running::start(&run_with(&["--nodes-as", "process"]));
    running.says("measuring");

    let (status, shown) = running.ends_when_interrupted_twice();

    assert_eq!(status.code(), Some(130), "{shown}");
}

#[test]
fn an_interrupted_search_shows_the_runs_that_it_made() {
    let search = ["find-capacity", "--from", "50", "--to", "100", "--probe", "1"];
    let running = Running::start(&[&search[..], &LONG_RUN].concat());
    // The second run has begun, so that the first is known.
    running.says("measuring");
    running.says("measuring");

    running.signal(libc::SIGINT);

    let (status, shown) = running.ends();
    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(shown.contains("interrupted before the search ended"), "{shown}");
}

#[test]
fn a_second_interrupt_ends_a_search_at_once() {
    let search = ["find-capacity", "--from", "50", "--probe", "600", "--nodes-as", "process"];
    let running = Running::start(&[&search[..], &LONG_RUN].concat());
    running.says("measuring");

    let (status, shown) = running.ends_when_interrupted_twice();

    assert_eq!(status.code(), Some(130), "{shown}");
}

#[test]
fn nodes_that_die_midway_are_a_clear_result() {
    let running = Running::start(&run_with(&["--nodes-as", "process"]));
    running.says("measuring");

    send_signal(running.nodes(), libc::SIGKILL);

    let (status, shown) = running.ends();
    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(shown.contains("invalid: the process of the nodes ended: signal: 9 (SIGKILL)"), "{shown}");
}

#[test]
fn nodes_do_not_outlive_the_generator() {
    let running = Running::start(&run_with(&["--nodes-as", "process"]));
    running.says("measuring");

    running.signal(libc::SIGKILL);

    // Standard error is the nodes' as well: it closes only once they are gone.
    let (status, _) = running.ends();
    assert_eq!(status.code(), None);
}
