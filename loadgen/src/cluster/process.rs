//! The embedded cluster in a process of its own: this very program, started again with a hidden command.
//!
//! There the nodes have an open-file limit of their own, and their CPU and memory are told apart from the generator's.
//! The child says in one line where its nodes listen, and lives until its input ends, so that it never outlives this
//! process, however that ends. It is in a process group of its own: Ctrl-C is for the generator, which still needs its
//! nodes then.

use super::{Cluster, Nodes, STOP_TIMEOUT};
use parking_lot::Mutex;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use tokio_util::sync::CancellationToken;

/// The command that makes this program serve.
const COMMAND: &str = "nodes";

/// Why there are no nodes. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot start a process for the nodes: {0}")]
    Io(#[from] io::Error),
    #[error("the process of the nodes ended before they were ready: {0}")]
    Ended(std::process::ExitStatus),
    #[error("the process of the nodes did not say where they listen, but {0:?}")]
    Strange(String),
}

/// A child that runs nodes; they stop when this is dropped.
pub struct Process {
    child: Mutex<Child>,
    /// The child ends when this is closed.
    input: Option<ChildStdin>,
    targets: Vec<String>,
    ended: CancellationToken,
    output_closed: Receiver<()>,
}

impl Process {
    /// Starts `count` nodes. Only in `loadgen` itself: the program that runs must know the command.
    pub fn start(count: u32) -> Result<Process, Error> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([COMMAND, &count.to_string()]).process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("standard output was piped"));
        let mut line = String::new();
        output.read_line(&mut line)?;
        let targets: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if targets.is_empty() {
            return Err(Error::Ended(child.wait()?));
        }
        if targets.len() != count as usize {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(Error::Strange(line));
        }
        let ended = CancellationToken::new();
        let output_closed = watch(output, ended.clone())?;
        Ok(Process { child: Mutex::new(child), input, targets, ended, output_closed })
    }

    /// Where the nodes listen.
    pub fn targets(&self) -> Vec<String> {
        self.targets.clone()
    }

    pub fn nodes(&self) -> Nodes {
        Nodes::Process { id: self.child.lock().id(), ended: self.ended.clone() }
    }

    /// How the process ended, if it has.
    pub fn death(&self) -> Option<String> {
        if !self.ended.is_cancelled() {
            return None;
        }
        let how = self.child.lock().wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        Some(format!("the process of the nodes ended: {how}"))
    }
}

/// Nothing more is said; that the output closes is the end of the process.
fn watch(mut output: BufReader<ChildStdout>, ended: CancellationToken) -> io::Result<Receiver<()>> {
    let (sender, receiver) = channel();
    std::thread::Builder::new().name("nodes' end".into()).spawn(move || {
        let _ = output.read_to_end(&mut Vec::new());
        ended.cancel();
        drop(sender);
    })?;
    Ok(receiver)
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let child = self.child.get_mut();
        if self.output_closed.recv_timeout(2 * STOP_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            let _ = child.kill();
        }
        let _ = child.wait();
    }
}

/// In the child: runs `count` nodes until standard input ends.
pub fn serve(count: u32) -> Result<(), super::Error> {
    let cluster = Cluster::start(count)?;
    println!("{}", cluster.targets().join(" "));
    io::copy(&mut io::stdin(), &mut io::sink())?;
    drop(cluster);
    Ok(())
}
