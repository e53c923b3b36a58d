//! `harness sim`: whole clusters in virtual time, schedule after schedule, and what becomes of those that fail.

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use harness::live::simulation::{About, Page};
use harness::program::{Program, built};
use harness::report::simulation::{self as report, Found};
use loadgen::live::{Address, Ending};
use sim::campaign::{self, Asked, Failed, Plan, Tally};
use sim::worker::Report;
use sim::{Failure, Lived, Schedule, Shape, Shrunk, Workers, Workload};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Nothing was lived through: wrong flags, a file, a limit. Else the exit code is the verdict's.
pub const NOT_RUN: u8 = 3;
const SEEDS: u64 = 1_000;
/// All of them run in one thread.
const MOST_NODES: usize = 9;
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// So many failures of different kinds are made small; the others are counted.
const MOST_FOUND: usize = 5;

#[derive(Args)]
#[command(after_help = "Exit codes: 0 valid, 1 invalid, 2 unknown (not everything was reached), 3 not run at all.")]
pub struct Arguments {
    /// How many seeds [default: 1000, or as many as fit into --minutes]
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    from: u64,
    /// Begin no further seed after that many minutes
    #[arg(long)]
    minutes: Option<f64>,
    /// How many nodes each cluster has, from 1 to 9
    #[arg(long, default_value_t = Shape::default().nodes)]
    nodes: usize,
    /// What people mostly do
    #[arg(long, value_enum, default_value_t = Shape::default().workload)]
    workload: Workload,
    /// Go on after a failure
    #[arg(long)]
    keep_going: bool,
    /// Live through the schedule in this file instead (JSON)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "from", "minutes", "nodes", "workload"])]
    replay: Option<PathBuf>,
    /// Write the first seed's schedule to this file (JSON), and nothing else
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// With --replay: print all that happened, line by line
    #[arg(long, requires = "replay")]
    trace: bool,
    /// Write the hash of each seed's trace to this file: the same on any machine and in any directory
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    hashes: Option<PathBuf>,
    /// Where a schedule fails, do not look for a smaller one that fails as well
    #[arg(long)]
    no_search: bool,
    /// Write the first failure as a page: a timeline with a lane for each node and user
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write JUnit XML: each promise is a test
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Show the run as it happens on a page at PORT of this machine, or at HOST:PORT for others as well; 0 is any free
    /// port. Its address is printed, and is the key to it: whoever has it can end the run early; the result says so
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["replay", "write"])]
    live: Option<Address>,
}

/// Prints what the run came to, and every kind of failure made small; the exit code is the verdict's.
pub async fn execute(arguments: Arguments) -> Result<ExitCode> {
    let plan = arguments.plan()?;
    if let Some(path) = &arguments.write {
        keep(path, &text_of(&Schedule::from_seed(plan.from, &plan.shape))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before the simulator is built: an address that cannot be had costs nothing.
    let page = arguments.page(&plan)?;
    let lived = carry_out(&arguments, &plan, page.as_ref()).await;
    if let Some(page) = page {
        page.end(lived.as_ref().ok().map(|(tally, _)| tally), ending(&lived));
    }
    let (tally, found) = lived?;
    for one in &found {
        println!("{}", report::found(one));
    }
    print!("{}", report::summary(&tally));
    if let (Some(path), Some(first)) = (&arguments.html, found.first()) {
        keep(path, &report::page(first))?;
        eprintln!("harness: report: {}", path.display());
    }
    if let Some(path) = &arguments.junit {
        keep(path, &report::junit(&tally, &found, &arguments.command()))?;
    }
    Ok(ExitCode::from(tally.verdict().exit_code()))
}

impl Arguments {
    fn plan(&self) -> Result<Plan> {
        ensure!((1..=MOST_NODES).contains(&self.nodes), "--nodes is 1 to {MOST_NODES}");
        let time = self.minutes.map(|minutes| {
            ensure!(minutes > 0.0 && minutes <= 1_440.0, "--minutes is more than 0 and at most 1440");
            Ok(Duration::from_secs_f64(minutes * 60.0))
        });
        Ok(Plan {
            from: self.from,
            seeds: match self.seeds {
                None if self.minutes.is_some() => Asked::AsManyAsFit,
                seeds => Asked::Seeds(seeds.unwrap_or(SEEDS)),
            },
            shape: Shape { nodes: self.nodes, workload: self.workload },
            time: time.transpose()?,
            keeps_going: self.keep_going,
        })
    }

    fn page(&self, plan: &Plan) -> Result<Option<Page>> {
        let about = About { command: self.command(), seeds: plan.seeds.count(), minutes: self.minutes };
        Ok(self.live.as_ref().map(|address| Page::open(address, about)).transpose()?)
    }

    /// The flags that ask for the same again.
    fn command(&self) -> String {
        match &self.replay {
            Some(path) => again(path),
            None => {
                let seeds = self.seeds.map(|seeds| format!(" --seeds {seeds}")).unwrap_or_default();
                let minutes = self.minutes.map(|minutes| format!(" --minutes {minutes}")).unwrap_or_default();
                format!("harness sim --from {}{seeds}{minutes} {}", self.from, self.shape())
            }
        }
    }

    /// The flags that give every seed the same schedule again.
    fn shape(&self) -> String {
        let workload = self.workload.to_possible_value().map(|value| value.get_name().to_owned());
        format!("--nodes {} --workload {}", self.nodes, workload.unwrap_or_default())
    }
}

/// What those who look are told in the end.
fn ending(lived: &Result<(Tally, Vec<Found>)>) -> Ending {
    match lived {
        Err(error) => Ending { verdict: "not run", reasons: vec![format!("{error:#}")], ..Ending::default() },
        Ok((tally, _)) => {
            let mut lines: Vec<String> = report::summary(tally).lines().map(str::to_owned).collect();
            // The last one is the verdict.
            lines.pop();
            Ending { verdict: tally.verdict().name(), notes: lines, ..Ending::default() }
        }
    }
}

/// Lives through what is asked for; `page` shows it, where that is no file.
async fn carry_out(arguments: &Arguments, plan: &Plan, page: Option<&Page>) -> Result<(Tally, Vec<Found>)> {
    let workers = Workers::of(built(match std::env::var_os("FAILPOINTS") {
        Some(_) => Program::SimulatorWithFailpoints,
        None => Program::Simulator,
    })?);
    match &arguments.replay {
        Some(path) => replay(path, arguments.trace, &workers).await,
        None => live(arguments, plan, &workers, page).await,
    }
}

async fn live(
    arguments: &Arguments,
    plan: &Plan,
    workers: &Workers,
    page: Option<&Page>,
) -> Result<(Tally, Vec<Found>)> {
    eprintln!("harness: {}", arguments.command());
    let mut told = Instant::now();
    let mut hashes = String::new();
    let tally = campaign::run(plan, workers, |tally, seed, lived| {
        if let Lived::Told(Report { hash, events, .. }) = lived {
            // Writing into a String does not fail.
            let _ = writeln!(hashes, "{seed} {hash:016x} {events}");
        }
        if let Some(failed) = tally.failed.last().filter(|failed| failed.schedule.seed == seed) {
            eprintln!("harness: seed {seed} {}", failed.failure);
            if let Some(page) = page {
                let again = format!("{}harness sim --from {seed} --seeds 1 {}", failpoints(), arguments.shape());
                page.failed(tally, seed, failed.failure.to_string(), again);
            }
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            eprintln!("harness: {}", report::progress(tally, plan));
        }
        let Some(page) = page else { return ControlFlow::Continue(()) };
        page.lived(tally);
        if page.is_enough() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let tally = tally.await?;
    if let Some(path) = &arguments.hashes {
        keep(path, &hashes)?;
    }
    let mut kinds: Vec<&Failed> = Vec::new();
    for failed in &tally.failed {
        if !kinds.iter().any(|known| known.failure.is_same(&failed.failure)) {
            kinds.push(failed);
        }
    }
    let mut found = Vec::new();
    for failed in kinds.into_iter().take(MOST_FOUND) {
        let one = look_into(failed, arguments.no_search, workers, page).await?;
        if let Some(page) = page {
            page.found(one.whole.seed, failed.failure.to_string(), &one.left, one.again.clone());
        }
        found.push(one);
    }
    Ok((tally, found))
}

/// Makes it small, and keeps it: as whole as it was, as small as it got, and as a page.
async fn look_into(failed: &Failed, no_search: bool, workers: &Workers, page: Option<&Page>) -> Result<Found> {
    let Failed { schedule, failure, lived } = failed;
    let seed = schedule.seed;
    // What hangs takes the limit each time, and what strays may do otherwise the next time.
    let is_searched = !no_search && !matches!(failure, Failure::Hung | Failure::Strayed);
    let Shrunk { schedule: left, runs } = match is_searched {
        true => search(schedule, failure, workers, page).await,
        false => Shrunk { schedule: schedule.clone(), runs: 0 },
    };
    let lived = if runs == 0 { lived.clone() } else { workers.live(&left, false).await? };
    let failure = Failure::of(&lived).unwrap_or_else(|| failure.clone());
    let directory = directory()?;
    let file = directory.join(format!("seed-{seed}.json"));
    keep(&file, &text_of(&left)?)?;
    keep(&directory.join(format!("seed-{seed}.whole.json")), &text_of(schedule)?)?;
    let found = Found { whole: schedule.clone(), left, runs, failure, lived, again: again(&file) };
    keep(&directory.join(format!("seed-{seed}.html")), &report::page(&found))?;
    keep(&directory.join(format!("seed-{seed}.txt")), &report::found(&found))?;
    eprintln!("harness: schedule, page and text are in {}", directory.display());
    Ok(found)
}

async fn search(schedule: &Schedule, failure: &Failure, workers: &Workers, page: Option<&Page>) -> Shrunk {
    eprintln!("harness: looking for a smaller schedule that fails as well, in at most {} runs", sim::MOST_RUNS);
    let fails = |lived: &Lived| Failure::of(lived).is_some_and(|other| failure.is_same(&other));
    let (mut left, mut runs) = (schedule.clone(), 0);
    let first_failing = async |candidates: &[Schedule]| {
        if let Some(page) = page {
            page.searches(schedule.seed, runs, &left);
        }
        let first = workers.first_that(candidates, fails).await.unwrap_or_else(|error| {
            eprintln!("harness: {error:#}");
            None
        });
        let place = first.map(|(place, _)| place);
        runs += place.map_or(candidates.len(), |place| place + 1);
        place.into_iter().for_each(|place| left = candidates[place].clone());
        place
    };
    sim::shrink(schedule.clone(), first_failing).await
}

async fn replay(path: &Path, traces: bool, workers: &Workers) -> Result<(Tally, Vec<Found>)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let whole: Schedule = serde_json::from_str(&text).with_context(|| format!("no schedule: {}", path.display()))?;
    let began = Instant::now();
    let lived = workers.live(&whole, traces).await?;
    if let Lived::Told(report) = &lived {
        report.trace.iter().for_each(|line| println!("{line}"));
        eprintln!("harness: trace {:016x} over {} events", report.hash, report.events);
    }
    let mut tally = Tally::default();
    tally.add(whole.clone(), std::slice::from_ref(&lived));
    tally.took = began.elapsed();
    let found = Failure::of(&lived).map(|failure| Found {
        left: whole.clone(),
        whole,
        runs: 0,
        failure,
        lived,
        again: again(path),
    });
    Ok((tally, found.into_iter().collect()))
}

fn again(path: &Path) -> String {
    format!("{}harness sim --replay {}", failpoints(), path.display())
}

/// Where bugs were switched on, nothing else shows again what came of them.
fn failpoints() -> String {
    std::env::var("FAILPOINTS").map(|points| format!("FAILPOINTS='{points}' ")).unwrap_or_default()
}

fn text_of(schedule: &Schedule) -> Result<String> {
    Ok(serde_json::to_string_pretty(schedule)? + "\n")
}

/// Where what failed is kept.
fn directory() -> Result<PathBuf> {
    let directory = harness::containers::evidence::directory("sim")?;
    // Short where it can be.
    let here = std::env::current_dir()?;
    let directory = directory.strip_prefix(&here).map_or(directory.clone(), Path::to_path_buf);
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

fn keep(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
