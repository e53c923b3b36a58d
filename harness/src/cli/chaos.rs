//! `harness chaos`: faults at random, one after the other, while people chat.

use super::output::Outputs;
use super::stage::{Stage, is_valid};
use anyhow::{Result, bail, ensure};
use clap::Args;
use harness::fault;
use harness::story::{Plot, Step, chaos};
use harness::users::Conclusion;
use judge::Verdict;
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
    let told = chaos.tell(&chosen).await;
    if let Ok(conclusion) = &told {
        print!("{conclusion}");
    }
    let about = format!("{} faults at random, seed {seed}", chosen.len());
    chaos.arguments.outputs.write(&told, &about, &chaos.command(&chosen))?;
    if is_valid(&told) {
        return Ok(());
    }
    let had_no_end = told.is_err();
    let error = told.map_or_else(
        |error| format!("{error:#}"),
        |conclusion| format!("the verdict is {}", conclusion.verdict().name()),
    );
    if chaos.arguments.no_search || chosen.len() < 2 {
        bail!("{error}; to see it again: {}", chaos.command(&chosen));
    }
    eprintln!("harness: {error}; looking for the fewest steps that fail as well, in at most {SEARCH_RUNS} runs");
    let fewest = sim::ddmin(chosen, SEARCH_RUNS, async |candidates: &[Vec<usize>]| {
        for (place, steps) in candidates.iter().enumerate() {
            // All that it was asked for is to break something.
            if !steps.is_empty() && chaos.fails(steps, had_no_end).await {
                return Some(place);
            }
        }
        None
    });
    bail!("{error}; the fewest steps that fail: {}", chaos.command(&fewest.await));
}

impl Chaos {
    /// Whether these steps fail as well. An engine that fails would make every part fail, so a story without an end is
    /// a failure only where the first had none.
    async fn fails(&self, steps: &[usize], had_no_end: bool) -> bool {
        let told = self.tell(steps).await;
        let fails = told.as_ref().map_or(had_no_end, |conclusion| conclusion.verdict() != Verdict::Valid);
        let verdict = match &told {
            Err(error) => format!("come to no end: {error:#}"),
            Ok(_) if fails => "fail as well".into(),
            Ok(_) => "are valid".into(),
        };
        eprintln!("harness: steps {} {verdict}", numbers(steps));
        fails
    }

    async fn tell(&self, steps: &[usize]) -> Result<Conclusion> {
        let Arguments { plot, stage, .. } = &self.arguments;
        let command = self.command(steps);
        let steps: Vec<Step> = steps.iter().map(|step| self.all[*step].clone()).collect();
        let builder = stage.builder(steps.iter().flat_map(|step| &step.faults));
        stage.tell(builder, &command, async |story| story.of(*plot).tell_steps(&steps).await).await
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

fn numbers(steps: &[usize]) -> String {
    steps.iter().map(|step| (step + 1).to_string()).collect::<Vec<_>>().join(",")
}
