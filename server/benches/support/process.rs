//! The server under measurement: this very program, started again with other arguments.
//!
//! It says in one line where it listens, and lives until its input ends; so it never outlives the measuring process.
//! What it uses is read from `/proc`.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The first argument of a program that is to serve.
const SERVE: &str = "serve";

/// A child that serves.
pub struct Server {
    child: Child,
    /// What it listens on, in the order it said.
    pub addresses: Vec<SocketAddr>,
}

impl Server {
    /// Starts this program again; it must call [`serving`].
    pub fn start(arguments: &[&str]) -> Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SERVE).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout is piped")?).read_line(&mut line)?;
        let addresses = line.split_whitespace().map(str::parse).collect::<Result<Vec<SocketAddr>, _>>()?;
        if addresses.is_empty() {
            bail!("the server did not start");
        }
        Ok(Server { child, addresses })
    }

    pub fn cpu_time(&self) -> Result<Duration> {
        cpu_time(self.child.id())
    }

    /// Memory that the process holds, in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
    }

    /// Ends it in good order.
    pub fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The arguments after `serve`, if this process is to serve.
pub fn serving() -> Option<Vec<String>> {
    let mut arguments = std::env::args().skip(1);
    (arguments.next()? == SERVE).then(|| arguments.collect())
}

/// In the server: says where it listens, and blocks until the measuring process wants it to end.
pub fn say_ready(addresses: &[SocketAddr]) -> Result<()> {
    let words: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    println!("{}", words.join(" "));
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Processor time of a process so far, in steps of a clock tick (10 ms).
pub fn cpu_time(process: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in front may hold spaces, but ends with the last parenthesis.
    let (_, numbers) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let mut ticks = numbers.split_whitespace().skip(11).map(str::parse::<u64>);
    let mut next = || ticks.next().context("too few numbers in /proc/PID/stat");
    let (user, system) = (next()??, next()??);
    // SAFETY: sysconf reads a constant of the system.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
    Ok(Duration::from_millis((user + system) * 1_000 / per_second))
}
