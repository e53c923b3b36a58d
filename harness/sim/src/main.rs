//! `sim`: lives through schedules, from seeds or from a file, until one fails. Each has a process of its own, in which
//! it goes the same way every time.

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use judge::Verdict;
use sim::{Reached, Schedule, Shape, Workload, coverage};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Lives through schedules of whole clusters in virtual time, and judges each. Stops at the first that fails.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 50)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Nodes in each cluster.
    #[arg(long, default_value_t = Shape::default().nodes)]
    nodes: usize,
    /// What people do.
    #[arg(long, value_enum, default_value = "mixed")]
    workload: Workload,
    /// Go on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Live through each seed twice, and compare.
    #[arg(long)]
    twice: bool,
    /// Live through this one seed, in this process.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    only: Option<u64>,
    /// Live through the schedule in this file instead (JSON).
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Write the first seed's schedule to this file (JSON), and nothing else.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// With --only or --replay: print all that happened, line by line.
    #[arg(long)]
    trace: bool,
}

impl Arguments {
    fn schedule(&self, seed: u64) -> Schedule {
        Schedule::from_seed(seed, &Shape { nodes: self.nodes, workload: self.workload })
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    #[cfg(feature = "failpoints")]
    chat::failpoint::set_from_environment()?;
    if let Some(path) = &arguments.write {
        let text = serde_json::to_string_pretty(&arguments.schedule(arguments.from))?;
        return std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()));
    }
    if let Some(path) = &arguments.replay {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let schedule = serde_json::from_str(&text).with_context(|| format!("no schedule: {}", path.display()))?;
        return live_through(&schedule, arguments.trace);
    }
    match arguments.only {
        Some(seed) => live_through(&arguments.schedule(seed), arguments.trace),
        None => live_through_all(&arguments),
    }
}

fn live_through(schedule: &Schedule, trace: bool) -> Result<()> {
    let outcome = sim::run(schedule, trace).with_context(|| format!("seed {}", schedule.seed))?;
    outcome.trace.iter().for_each(|line| println!("{line}"));
    let (verdict, digest, length) = (outcome.verdict(), outcome.digest, outcome.length);
    let (hash, events) = (digest.hash, digest.events);
    println!("seed {}: {}, {hash:016x} over {events} events in {length:.1?}", schedule.seed, verdict.name());
    println!("reached {}", serde_json::to_string(&outcome.reached)?);
    if verdict != Verdict::Valid {
        println!("{outcome}");
    }
    ensure!(verdict == Verdict::Valid, "seed {} is {}", schedule.seed, verdict.name());
    Ok(())
}

fn live_through_all(arguments: &Arguments) -> Result<()> {
    let at_once = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let (started, end) = (Instant::now(), arguments.from + arguments.seeds);
    let (mut lived, mut failed, mut reached) = (0, 0_u64, Reached::default());
    let mut seed = arguments.from;
    while seed < end && (failed == 0 || arguments.keep_going) {
        let upper = end.min(seed + at_once);
        let times = if arguments.twice { 2 } else { 1 };
        let runs = |seed| (0..times).map(|_| start(arguments, seed)).collect::<Result<Vec<Child>>>();
        let runs = (seed..upper).map(runs).collect::<Result<Vec<_>>>()?;
        for (seed, runs) in (seed..).zip(runs) {
            lived += 1;
            failed += u64::from(!holds(seed, runs, &mut reached)?);
        }
        seed = upper;
    }
    reached.iter().for_each(|(name, times)| eprintln!("{times:>8} {name}"));
    let missing = reached.missing(&coverage::names(arguments.workload));
    missing.iter().for_each(|name| eprintln!("   never {name}"));
    eprintln!("{lived} schedules, {failed} failed, {:.1?}", started.elapsed());
    ensure!(failed == 0, "a promise was broken");
    Ok(())
}

fn start(arguments: &Arguments, seed: u64) -> Result<Child> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.args(["--only", &seed.to_string(), "--nodes", &arguments.nodes.to_string(), "--workload"]);
    let workload = arguments.workload.to_possible_value().context("a workload without a name")?;
    command.arg(workload.get_name()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().context("cannot start a process")
}

/// Whether the seed is as it must be, each time.
fn holds(seed: u64, runs: Vec<Child>, reached: &mut Reached) -> Result<bool> {
    let mut told: Vec<String> = Vec::new();
    let mut is_valid = true;
    for run in runs {
        let output = run.wait_with_output().context("cannot wait for a process")?;
        is_valid &= output.status.success();
        told.push(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    for line in told[0].lines() {
        match line.strip_prefix("reached ") {
            Some(counted) => reached.merge(&serde_json::from_str(counted).context("no counters")?),
            None => println!("{line}"),
        }
    }
    let is_same = told.iter().all(|other| *other == told[0]);
    if !is_same {
        println!("seed {seed} went another way the second time");
    }
    if !is_valid && told[0].is_empty() {
        println!("seed {seed} did not come to an end: sim --only {seed}");
    }
    Ok(is_valid && is_same)
}
