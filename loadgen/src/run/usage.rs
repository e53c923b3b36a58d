//! What a run uses of the machine: CPU and memory, the generator's and the embedded nodes' apart.

use crate::cluster::{Nodes, THREAD_NAME};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// CPU seconds so far: of the embedded nodes, and of each of the generator's threads, which all outlive the measured
/// time.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    nodes: NodesCpu,
    generator: BTreeMap<OsString, f64>,
}

/// The nodes' part.
#[derive(Clone, Copy, Debug, Default)]
enum NodesCpu {
    #[default]
    Unknown,
    /// Their process's.
    Theirs(f64),
    /// What this whole process used. Threads of nodes come and go, so that theirs is what the generator's leave.
    WithOurs(f64),
}

impl Cpu {
    pub fn now(nodes: &Nodes) -> Cpu {
        let nodes = match nodes {
            Nodes::Elsewhere => NodesCpu::Unknown,
            Nodes::Threads => NodesCpu::WithOurs(own_seconds()),
            Nodes::Process { id, .. } => NodesCpu::Theirs(seconds_of(*id)),
        };
        let mut cpu = Cpu { nodes, generator: BTreeMap::new() };
        let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return cpu };
        for thread in threads.flatten() {
            let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else { continue };
            if let Some((name, seconds)) = parse_stat(&stat)
                && !name.starts_with(THREAD_NAME)
            {
                cpu.generator.insert(thread.file_name(), seconds);
            }
        }
        cpu
    }

    /// What the generator used since then, and what the nodes did.
    pub fn since(&self, before: &Cpu) -> (f64, f64) {
        let used = |(thread, seconds): (&OsString, &f64)| seconds - before.generator.get(thread).unwrap_or(&0.0);
        let generator: f64 = self.generator.iter().map(used).sum();
        let nodes = match (self.nodes, before.nodes) {
            (NodesCpu::Theirs(now), NodesCpu::Theirs(then)) => now - then,
            (NodesCpu::WithOurs(now), NodesCpu::WithOurs(then)) => now - then - generator,
            _ => 0.0,
        };
        // A process that has ended has used nothing any more.
        (generator, nodes.max(0.0))
    }
}

/// CPU seconds of this process, finer than `/proc` has them.
fn own_seconds() -> f64 {
    // SAFETY: all zeroes is a lawful value of this structure of numbers, which lives through the call that fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn seconds_of(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    parse_stat(&stat).map_or(0.0, |(_, seconds)| seconds)
}

/// The name of a thread or process and its CPU seconds, out of its `stat`.
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
    memory_of("self")
}

/// Resident memory of the embedded nodes' own process in bytes; 0 where they have none.
pub fn nodes_memory_bytes(nodes: &Nodes) -> u64 {
    match nodes {
        Nodes::Process { id, .. } => memory_of(&id.to_string()),
        Nodes::Elsewhere | Nodes::Threads => 0,
    }
}

fn memory_of(process: &str) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    // SAFETY: the call takes a number and gives one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * page.max(0) as u64
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
    }

    #[test]
    fn another_process_is_looked_at_by_its_number() {
        let nodes = Nodes::Process { id: std::process::id(), ended: Default::default() };
        assert!(memory_bytes() > 0 && nodes_memory_bytes(&nodes) > 0);
        assert_eq!(nodes_memory_bytes(&Nodes::Threads), 0);
    }
}
