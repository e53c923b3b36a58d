//! `harness table`: every fault against every story, as a Markdown table of verdicts.

use super::stage::{Stage, is_valid};
use anyhow::{Result, ensure};
use clap::Args;
use futures_util::{StreamExt, stream};
use harness::containers::Plot;
use harness::fault::Fault;
use harness::users::Conclusion;
use std::fmt::Display;
use std::time::Duration;

#[derive(Args)]
pub struct Arguments {
    /// Only faults whose name contains this, as in redis or 'kill node'
    #[arg(default_value = "")]
    only: String,
    /// Clusters at the same time
    #[arg(long, default_value_t = 2)]
    at_once: usize,
    #[command(flatten)]
    stage: Stage,
}

/// Each fault, and how many seconds it lasts: those that are found out by silence last longer than that takes.
const FAULTS: [(&str, u64); 24] = [
    ("kill node-1", 5),
    ("term node-1", 2),
    ("pause node-2", 12),
    ("isolate node-1", 5),
    ("rolling-restart", 0),
    ("cut node-1 redis", 5),
    ("cut-from redis node-2", 5),
    ("cut node-1 database", 5),
    ("cut-from database node-2", 5),
    ("cut nginx node-1", 8),
    ("cut-from node-2 nginx", 8),
    ("kill redis", 5),
    ("restart redis", 0),
    ("pause redis", 5),
    ("kill database", 5),
    ("pause database", 5),
    ("exhaust database", 5),
    ("slow node-1 database 200", 5),
    ("thin node-2 database 20000", 5),
    ("silent node-1 database", 5),
    ("silent node-2 redis", 5),
    ("reset node-1 database", 0),
    ("kill nginx", 2),
    ("reload", 2),
];

/// Prints a row as soon as it is known; an error unless every cell is `valid`.
pub async fn execute(arguments: Arguments) -> Result<()> {
    let Arguments { only, at_once, stage } = arguments;
    ensure!(stage.nodes >= 2, "the faults of the table take two nodes");
    let faults: Vec<_> = FAULTS.into_iter().filter(|(fault, _)| fault.contains(&only)).collect();
    ensure!(!faults.is_empty(), "no fault of the table contains {only:?}");
    println!("| fault | {} |", Plot::ALL.map(Plot::name).join(" | "));
    println!("|---|{}", "---|".repeat(Plot::ALL.len()));
    let rows = stream::iter(faults).map(|(fault, seconds)| row(&stage, fault, seconds));
    let mut rows = rows.buffered(at_once.max(1));
    let mut bad = Vec::new();
    while let Some((fault, seconds, cells)) = rows.next().await {
        let texts: Vec<String> = cells.iter().map(describe).collect();
        println!("| `{fault}`, {seconds} s | {} |", texts.join(" | "));
        for (plot, cell) in Plot::ALL.into_iter().zip(&cells) {
            if !is_valid(cell) {
                bad.push(cell_command(&stage, fault, seconds, plot));
                if let Ok(conclusion) = cell {
                    eprintln!("{fault}, {plot}:\n{conclusion}");
                }
            }
        }
    }
    ensure!(bad.is_empty(), "not valid; to see each by itself:\n{}", bad.join("\n"));
    Ok(())
}

type Row = (&'static str, u64, Vec<Result<Conclusion>>);

async fn row(stage: &Stage, fault: &'static str, seconds: u64) -> Row {
    let mut cells = Vec::new();
    for plot in Plot::ALL {
        cells.push(cell(stage, fault, seconds, plot).await);
    }
    (fault, seconds, cells)
}

async fn cell(stage: &Stage, fault: &str, seconds: u64, plot: Plot) -> Result<Conclusion> {
    let fault: Fault = fault.parse()?;
    let builder = stage.builder().for_faults([&fault]);
    let lasting = Duration::from_secs(seconds);
    let command = cell_command(stage, &fault, seconds, plot);
    stage.tell(builder, &command, async |story| story.of(plot).lasting(lasting).tell(&[fault]).await).await
}

fn cell_command(stage: &Stage, fault: impl Display, seconds: u64, plot: Plot) -> String {
    format!("harness story {plot} --fault '{fault}' --seconds {seconds} {}", stage.flags())
}

fn describe(told: &Result<Conclusion>) -> String {
    match told {
        Ok(conclusion) => {
            let recovered = conclusion.summary.recovered.map(|after| format!(", {:.1} s", after.as_secs_f64()));
            format!("{}{}", conclusion.verdict().name(), recovered.unwrap_or_default())
        }
        // In one cell.
        Err(error) => format!("no end: {error:#}").replace('\n', " ").replace('|', "\\|"),
    }
}
