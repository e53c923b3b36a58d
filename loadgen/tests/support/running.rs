//! `loadgen` as a process that tests watch and signal.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Far more than anything here takes: for each line that is waited for, and for the end.
pub const BUDGET: Duration = Duration::from_secs(60);
/// A run that does not end by itself while a test lasts.
pub const LONG_RUN: [&str; 12] =
    ["--users", "8", "--rate", "200", "--duration", "600", "--ramp", "0.1", "--drain", "600", "--mix", "friend_chat"];

/// `loadgen` at work, and the lines that it writes to standard error.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub fn start(arguments: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("loadgen starts");
        let lines = lines_of(child.stderr.take().expect("standard error was piped"));
        Running { child, lines }
    }

    /// Waits until it says that this phase has begun, or so; the line.
    pub fn says(&self, what: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(BUDGET).expect(what);
            if line.contains(what) {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: libc::c_int) {
        send_signal(self.child.id(), signal);
    }

    /// The process of its nodes.
    pub fn nodes(&self) -> u32 {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("Linux tells children");
        children.trim().parse().expect("one child")
    }

    /// Interrupts it while it measures, and again while it drains, which would take its whole time: its nodes, in a
    /// process of their own, answer nothing any more.
    pub fn ends_when_interrupted_twice(self) -> (ExitStatus, String) {
        let nodes = self.nodes();
        send_signal(nodes, libc::SIGSTOP);
        self.signal(libc::SIGINT);
        self.says("draining");
        self.signal(libc::SIGINT);
        send_signal(nodes, libc::SIGCONT);
        self.ends()
    }

    /// Waits until it, and every child that has its standard error, is gone.
    pub fn ends(mut self) -> (ExitStatus, String) {
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

pub fn send_signal(process: u32, signal: libc::c_int) {
    // SAFETY: the call takes two numbers.
    assert_eq!(unsafe { libc::kill(process as libc::pid_t, signal) }, 0, "{}", std::io::Error::last_os_error());
}
