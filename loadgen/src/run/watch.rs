//! What is looked at from time to time: RECEIVED that is due, messages to be sent again, seconds, CPU and memory.

use super::Run;
use crate::outcome::Resources;
use crate::recorder::{Path, Second};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two ticks.
const TICK: Duration = Duration::from_millis(20);
/// Ticks until it is every user's turn once: one second, as the contract has it for RECEIVED.
const TURN_TICKS: usize = 50;

/// Gives every user its turn once a second, spread evenly, until the run is over.
pub async fn tick(run: Arc<Run>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for turn in 0.. {
        tokio::select! {
            _ = interval.tick() => {}
            () = run.over.cancelled() => return,
        }
        run.users.iter().skip(turn % TURN_TICKS).step_by(TURN_TICKS).for_each(|user| {
            user.tell();
            user.move_windows_on(&run);
        });
        send_again(&run);
    }
}

fn send_again(run: &Run) {
    let now = run.clock.now();
    loop {
        let mut retries = run.retries.lock();
        let due = retries.peek().is_some_and(|Reverse(retry)| retry.at <= now);
        let Some(Reverse(retry)) = retries.pop().filter(|_| due) else { return };
        drop(retries);
        let sender = &run.users[run.world.streams[retry.stream as usize].sender as usize];
        sender.send_again(run, retry.stream, retry.number, retry.due);
        sender.flush();
    }
}

/// Measures time, rows of seconds, and CPU from its start on.
pub struct Meter {
    begun: Instant,
    last: Instant,
    sent: u64,
    delivered: u64,
    cpu: Cpu,
}

impl Meter {
    pub fn start(run: &Run) -> Meter {
        // What came before belongs to no second.
        run.recorder.take_second();
        let now = Instant::now();
        Meter { begun: now, last: now, sent: run.ledger.sent(), delivered: run.ledger.deliveries(), cpu: Cpu::now() }
    }

    pub fn elapsed_s(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// What happened since the last call.
    pub fn second(&mut self, run: &Run) -> Second {
        let now = Instant::now();
        let (sent, delivered) = (run.ledger.sent(), run.ledger.deliveries());
        let second = Second {
            at_ms: (self.last - self.begun).as_millis() as u64,
            length_ms: (now - self.last).as_millis() as u64,
            paths: run.recorder.take_second(),
            sent: sent - self.sent,
            delivered: delivered - self.delivered,
        };
        (self.last, self.sent, self.delivered) = (now, sent, delivered);
        second
    }

    pub fn resources(&self) -> Resources {
        let now = Cpu::now();
        let generator_cpu_s = now.generator_since(&self.cpu);
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        Resources {
            cores,
            generator_cpu_s,
            nodes_cpu_s: (now.all - self.cpu.all - generator_cpu_s).max(0.0),
            ..Resources::default()
        }
    }
}

/// CPU seconds so far: of the whole process, and of each of the generator's threads, which all outlive the measured time.
/// Threads of embedded nodes come and go, so that theirs is what remains.
#[derive(Clone, Debug, Default)]
struct Cpu {
    all: f64,
    generator: BTreeMap<OsString, f64>,
}

impl Cpu {
    fn now() -> Cpu {
        let mut cpu = Cpu { all: process_seconds(), ..Cpu::default() };
        let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return cpu };
        for thread in threads.flatten() {
            let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else { continue };
            if let Some((name, seconds)) = parse_stat(&stat)
                && !name.starts_with(crate::cluster::THREAD_NAME)
            {
                cpu.generator.insert(thread.file_name(), seconds);
            }
        }
        cpu
    }

    fn generator_since(&self, before: &Cpu) -> f64 {
        let used = |(thread, seconds): (&OsString, &f64)| seconds - before.generator.get(thread).unwrap_or(&0.0);
        self.generator.iter().map(used).sum()
    }
}

fn process_seconds() -> f64 {
    // SAFETY: all zeroes is a lawful value of this structure of numbers, which lives through the call that fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// A thread's name and its CPU seconds, out of its `stat`.
fn parse_stat(stat: &str) -> Option<(&str, f64)> {
    // The name is in parentheses and may hold anything; the 14th and 15th fields are user and system time.
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1;
    let mut fields = after.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    // SAFETY: the call takes a number and gives one.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Some((name, (user + system) / ticks.max(1) as f64))
}

/// Resident memory of this process in bytes; 0 where nothing says.
pub fn memory_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    // SAFETY: the call takes a number and gives one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * page.max(0) as u64
}

/// One line about one second, for a person who watches.
pub fn line(run: &Run, second: &Second) -> String {
    let per_second = |count: u64| count * 1_000 / second.length_ms.max(1);
    let shown = [Path::Same, Path::Cross, Path::Direct, Path::GroupLast, Path::Ack];
    let slowest = shown.iter().filter_map(|path| second.paths.get(path).map(|point| (point.p99, path))).max();
    let slowest = slowest.map_or(String::new(), |(p99, path)| format!(", p99 {path} {:.1} ms", p99 as f64 / 1_000.0));
    let errors: u64 = run.errors().values().sum();
    format!(
        "{} sent/s, {} delivered/s{slowest}, {} open, {} online, {errors} errors",
        per_second(second.sent),
        per_second(second.delivered),
        run.ledger.open(),
        run.online.load(Ordering::Relaxed),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_time_is_read_whatever_its_name() {
        let stat = "12 (a ) b) S 1 1 1 0 -1 64 0 0 0 0 250 50 0 0 20 0 1 0 5 1 1";
        let (name, seconds) = parse_stat(stat).expect("a lawful line");
        assert_eq!(name, "a ) b");
        assert!(seconds > 0.0);
        assert!(memory_bytes() > 0);
    }
}
