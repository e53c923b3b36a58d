//! `harness chaos`: faults at random, one after the other, while people chat.

use super::output::Outputs;
use super::stage::{Stage, is_valid};
use anyhow::{Result, bail, ensure};
use clap::Args;
use harness::fault;
use harness::live::chaos::{About, Page};
use harness::story::{Plot, Step, chaos};
use harness::users::Conclusion;
use judge::Verdict;
use loadgen::live::Address;
use std::time::Duration;

/// Runs of the search for the smallest schedule that fails; each takes as long as its steps.
const SEARCH_RUNS: usize = 16;

#[derive(Args)]
pub struct Arguments {
    /// Chooses the faults: the same seed, minutes, nodes and --only give the same schedule [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// About how long faults go on
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// Now and then two faults at the same time, of different machines
    #[arg(long)]
    overlap: bool,
    /// Only faults whose name contains this, as in redis or 'kill node'
    #[arg(long, default_value = "")]
    only: String,
    /// Only these steps of the schedule, by their numbers: --steps 3,7
    #[arg(long, value_delimiter = ',')]
    steps: Vec<usize>,
    /// chat, offline or logins: what people do meanwhile, as for `harness story`
    #[arg(long, default_value = "chat")]
    plot: Plot,
    #[command(flatten)]
    stage: Stage,
    /// Where it fails, do not look for the fewest steps that fail as well
    #[arg(long)]
    no_search: bool,
    #[command(flatten)]
    outputs: Outputs,
    /// Show the run as it happens on a page at PORT of this machine, or at HOST:PORT for others as well; 0 is any free
    /// port. Its address is printed, and is the key to it: whoever has it can end the run early; the result says so
    #[arg(long, value_name = "ADDR")]
    live: Option<Address>,
}

/// What is told, again and again.
struct Chaos {
    seed: u64,
    all: Vec<Step>,
    arguments: Arguments,
}

/// Prints the schedule and the verdict; an error where that is not `valid`.
pub async fn execute(arguments: Arguments) -> Result<()> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    ensure!(arguments.minutes > 0.0 && arguments.minutes <= 1_440.0, "--minutes is more than 0 and at most 1440");
    let mut faults = fault::all(&arguments.stage.setup());
    faults.retain(|fault| fault.to_string().contains(&arguments.only));
    ensure!(!faults.is_empty(), "no fault's name contains {:?}", arguments.only);
    let all = chaos::schedule(seed, Duration::from_secs_f64(arguments.minutes * 60.0), &faults, arguments.overlap);
    let chosen = match &arguments.steps[..] {
        [] => (0..all.len()).collect(),
        some => some.iter().map(|number| number.wrapping_sub(1)).collect::<Vec<_>>(),
    };
    ensure!(chosen.iter().all(|step| *step < all.len()), "the schedule has the steps 1 to {}", all.len());
    let chaos = Chaos { seed, all, arguments };
    eprintln!("harness: {}", chaos.command(&chosen));
    for step in &chosen {
        eprintln!("harness: {:>3}. {}", step + 1, chaos.all[*step]);
    }
    // Before anything else is started: an address that cannot be had costs no run.
    let page = chaos.page(&chosen)?;
    let done = chaos.carry_out(chosen, page.as_ref()).await;
    if let Some(page) = page {
        page.end(done.as_ref().err().map(|error| format!("{error:#}")));
    }
    done
}

impl Chaos {
    fn page(&self, chosen: &[usize]) -> Result<Option<Page>> {
        let Some(address) = &self.arguments.live else { return Ok(None) };
        let Arguments { plot, stage, .. } = &self.arguments;
        let about = About {
            title: format!(
                "faults at random, seed {}: {plot}, {} users, {} nodes",
                self.seed, stage.users, stage.nodes
            ),
            seed: self.seed,
            command: self.command(chosen),
            users: stage.users,
            search_runs: SEARCH_RUNS,
        };
        let steps = chosen.iter().map(|step| (step + 1, &self.all[*step]));
        Ok(Some(Page::open(address, about, steps)?))
    }

    /// Tells these steps, and what they came to; an error where that is not `valid`, after a search for the fewest.
    async fn carry_out(&self, chosen: Vec<usize>, page: Option<&Page>) -> Result<()> {
        let told = self.tell(&chosen, page).await;
        let (planned, chosen) = (chosen.len(), so_far(&chosen, page));
        let mut about = format!("{} faults at random, seed {}", chosen.len(), self.seed);
        if let Ok(conclusion) = &told {
            print!("{conclusion}");
        }
        if chosen.len() < planned {
            let stopped = format!("stopped by hand: {} of {planned} steps were told", chosen.len());
            println!("{stopped}");
            about += &format!(", {stopped}");
        }
        self.arguments.outputs.write(&told, &about, &self.command(&chosen))?;
        if is_valid(&told) {
            return Ok(());
        }
        let had_no_end = told.is_err();
        let error = told.map_or_else(
            |error| format!("{error:#}"),
            |conclusion| format!("the verdict is {}", conclusion.verdict().name()),
        );
        if self.arguments.no_search || chosen.len() < 2 {
            bail!("{error}; to see it again: {}", self.command(&chosen));
        }
        eprintln!("harness: {error}; looking for the fewest steps that fail as well, in at most {SEARCH_RUNS} runs");
        let fewest = sim::ddmin(chosen, SEARCH_RUNS, async |candidates: &[Vec<usize>]| {
            for (place, steps) in candidates.iter().enumerate() {
                // All that it was asked for is to break something.
                if !steps.is_empty() && self.fails(steps, had_no_end, page).await {
                    return Some(place);
                }
            }
            None
        });
        bail!("{error}; the fewest steps that fail: {}", self.command(&fewest.await));
    }

    /// Whether these steps fail as well. An engine that fails would make every part fail, so a story without an end is
    /// a failure only where the first had none.
    async fn fails(&self, steps: &[usize], had_no_end: bool, page: Option<&Page>) -> bool {
        if let Some(page) = page {
            page.searches(numbers(steps));
        }
        let told = self.tell(steps, None).await;
        let fails = told.as_ref().map_or(had_no_end, |conclusion| conclusion.verdict() != Verdict::Valid);
        let verdict = match &told {
            Err(error) => format!("come to no end: {error:#}"),
            Ok(_) if fails => "fail as well".into(),
            Ok(_) => "are valid".into(),
        };
        eprintln!("harness: steps {} {verdict}", numbers(steps));
        if let Some(page) = page {
            page.found(verdict);
        }
        fails
    }

    async fn tell(&self, steps: &[usize], page: Option<&Page>) -> Result<Conclusion> {
        let Arguments { plot, stage, .. } = &self.arguments;
        let chosen: Vec<Step> = steps.iter().map(|step| self.all[*step].clone()).collect();
        let builder = stage.builder(chosen.iter().flat_map(|step| &step.faults));
        let command = || self.command(&so_far(steps, page));
        let told = stage.tell(builder, command, async |story| {
            let story = story.of(*plot);
            let Some(page) = page else { return story.tell_steps(&chosen).await };
            let told = story.watched_by(page).tell_steps(&chosen).await;
            page.told(&told);
            told
        });
        told.await
    }

    /// How to tell these steps again.
    fn command(&self, steps: &[usize]) -> String {
        let Arguments { minutes, overlap, only, plot, stage, .. } = &self.arguments;
        let mut command =
            format!("harness chaos --seed {} --minutes {minutes} --plot {plot} {}", self.seed, stage.flags());
        if *overlap {
            command += " --overlap";
        }
        if !only.is_empty() {
            command += &format!(" --only '{only}'");
        }
        if steps.len() < self.all.len() {
            command += &format!(" --steps {}", numbers(steps));
        }
        command
    }
}

/// Those of the steps that were told: all, unless somebody who looked wanted no more.
fn so_far(steps: &[usize], page: Option<&Page>) -> Vec<usize> {
    let told = page.and_then(Page::stopped_after).unwrap_or(steps.len());
    steps[..told].to_vec()
}

fn numbers(steps: &[usize]) -> String {
    steps.iter().map(|step| (step + 1).to_string()).collect::<Vec<_>>().join(",")
}
