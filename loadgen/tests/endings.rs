//! Promise: whatever ends a run early, what ran is told, nothing hangs, and nothing stays behind.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Far more than anything here takes: for each line that is waited for, and for the end.
const BUDGET: Duration = Duration::from_secs(60);
/// A run that does not end by itself while a test lasts.
const LONG_RUN: [&str; 12] =
    ["--users", "8", "--rate", "200", "--duration", "600", "--ramp", "0.1", "--drain", "600", "--mix", "friend_chat"];

/// `loadgen` at work, and the lines that it writes to standard error.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("loadgen starts");
        let lines = lines_of(child.stderr.take().expect("standard error was piped"));
        Running { child, lines }
    }

    /// Waits until it says that this phase has begun, or so.
    fn says(&self, what: &str) {
        while !self.lines.recv_timeout(BUDGET).expect(what).contains(what) {}
    }

    fn signal(&self, signal: libc::c_int) {
        send_signal(self.child.id(), signal);
    }

    /// The process of its nodes.
    fn nodes(&self) -> u32 {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("Linux tells children");
        children.trim().parse().expect("one child")
    }

    /// Waits until it, and every child that has its standard error, is gone.
    fn ends(mut self) -> (ExitStatus, String) {
        let mut shown = String::new();
        self.child.stdout.take().expect("standard output was piped").read_to_string(&mut shown).expect("UTF-8");
        let status = self.child.wait().expect("loadgen ends");
        while self.lines.recv_timeout(BUDGET) != Err(std::sync::mpsc::RecvTimeoutError::Disconnected) {}
        (status, shown)
    }
}

/// The lines are read as they come; the channel ends when nobody can write any more.
fn lines_of(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}

fn send_signal(process: u32, signal: libc::c_int) {
    // SAFETY: the call takes two numbers.
    assert_eq!(unsafe { libc::kill(process as libc::pid_t, signal) }, 0, "{}", std::io::Error::last_os_error());
}

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
    let nodes = running.nodes();
    // From here on nothing is answered, so that draining would take its whole time.
    send_signal(nodes, libc::SIGSTOP);
    running.signal(libc::SIGINT);
    running.says("draining");

    running.signal(libc::SIGINT);

    send_signal(nodes, libc::SIGCONT);
    let (status, shown) = running.ends();
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
    let nodes = running.nodes();
    send_signal(nodes, libc::SIGSTOP);
    running.signal(libc::SIGINT);
    running.says("draining");

    running.signal(libc::SIGINT);

    send_signal(nodes, libc::SIGCONT);
    let (status, shown) = running.ends();
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
