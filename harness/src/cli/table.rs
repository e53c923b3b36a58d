//! `harness table`: every fault against every story, as a Markdown table of verdicts.

use super::stage::{Stage, is_valid};
use anyhow::{Result, ensure};
use clap::Args;
use futures_util::{StreamExt, stream};
use harness::cluster::Setup;
use harness::fault::{Fault, KINDS};
use harness::story::Plot;
use harness::users::Conclusion;
use std::fmt::Display;
use std::time::Duration;
use strum::VariantArray;

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

/// Prints a row as soon as it is known; an error unless every cell is `valid`.
pub async fn execute(arguments: Arguments) -> Result<()> {
    let Arguments { only, at_once, stage } = arguments;
    ensure!(stage.nodes >= 2, "the faults of the table take two nodes");
    let setup = stage.setup();
    let mut faults = faults_of(&setup);
    faults.retain(|(fault, _)| fault.contains(&only));
    ensure!(!faults.is_empty(), "no fault of the table contains {only:?}");
    println!("{}", head());
    let rows = stream::iter(faults).map(|(fault, seconds)| row(&stage, fault, seconds));
    let mut rows = rows.buffered(at_once.max(1));
    let mut bad = Vec::new();
    while let Some((fault, seconds, cells)) = rows.next().await {
        println!("{}", line(&fault, seconds, &cells));
        for (plot, cell) in Plot::VARIANTS.iter().zip(&cells) {
            if !is_valid(cell) {
                bad.push(cell_command(&stage, &fault, seconds, *plot));
                if let Ok(conclusion) = cell {
                    eprintln!("{fault}, {plot}:\n{conclusion}");
                }
            }
        }
    }
    ensure!(bad.is_empty(), "not valid; to see each by itself:\n{}", bad.join("\n"));
    Ok(())
}

/// The faults of the table that this cluster can have, and how many seconds each lasts. What befalls the only server of
/// its kind befalls the first where there are several.
fn faults_of(setup: &Setup) -> Vec<(String, u64)> {
    let services = setup.services();
    let fits = |fault: &String| fault.parse::<Fault>().is_ok_and(|fault| fault.fits(setup));
    let here = |word: &str| {
        let first = format!("{word}-1");
        if services.contains(&first) { first } else { word.to_owned() }
    };
    let mut faults: Vec<(String, u64)> = Vec::new();
    for (fault, seconds) in KINDS.iter().flat_map(|kind| kind.table) {
        let words: Vec<String> = fault.split(' ').map(here).collect();
        let found = [(*fault).to_owned(), words.join(" ")].into_iter().find(fits);
        if let Some(fault) = found.filter(|fault| faults.iter().all(|(known, _)| known != fault)) {
            faults.push((fault, *seconds));
        }
    }
    faults
}

type Row = (String, u64, Vec<Result<Conclusion>>);

async fn row(stage: &Stage, fault: String, seconds: u64) -> Row {
    let mut cells = Vec::new();
    for plot in Plot::VARIANTS {
        cells.push(cell(stage, &fault, seconds, *plot).await);
    }
    (fault, seconds, cells)
}

async fn cell(stage: &Stage, fault: &str, seconds: u64, plot: Plot) -> Result<Conclusion> {
    let fault: Fault = fault.parse()?;
    let builder = stage.builder([&fault]);
    let lasting = Duration::from_secs(seconds);
    let command = cell_command(stage, &fault, seconds, plot);
    stage.tell(builder, || command, async |story| story.of(plot).lasting(lasting).tell(&[fault]).await).await
}

fn cell_command(stage: &Stage, fault: impl Display, seconds: u64, plot: Plot) -> String {
    format!("harness story {plot} --fault '{fault}' --seconds {seconds} {}", stage.flags())
}

fn head() -> String {
    let plots: Vec<&str> = Plot::VARIANTS.iter().map(|plot| plot.name()).collect();
    format!("| fault | {} |\n|---|{}", plots.join(" | "), "---|".repeat(plots.len()))
}

fn line(fault: &str, seconds: u64, cells: &[Result<Conclusion>]) -> String {
    let texts: Vec<String> = cells.iter().map(describe).collect();
    format!("| `{fault}`, {seconds} s | {} |", texts.join(" | "))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples;
    use harness::containers::Flavour;

    #[test]
    fn faults_of_the_only_server_befall_the_first_of_several() {
        let of = |setup: &Setup| faults_of(setup).into_iter().map(|(fault, _)| fault).collect::<Vec<_>>();
        let (one, several) = (of(&Setup::nodes(3)), of(&Setup::nodes(3).database(Flavour::Galera(3)).buses(2)));
        let count = |faults: &[String], wanted: &str| faults.iter().filter(|fault| *fault == wanted).count();
        for (alone, first) in [
            ("kill database", "kill database-1"),
            ("cut node-1 redis", "cut node-1 redis-1"),
            ("slow node-1 database 200", "slow node-1 database-1 200"),
        ] {
            assert_eq!((count(&one, alone), count(&one, first)), (1, 0), "{one:?}");
            assert_eq!((count(&several, alone), count(&several, first)), (0, 1), "{several:?}");
        }
        assert_eq!((count(&one, "split redis"), count(&several, "split redis")), (0, 1));
    }

    #[test]
    fn table_has_a_line_for_each_fault_and_a_cell_for_each_story() {
        let no_end = Err(anyhow::anyhow!("the chat | does not\ngo on"));
        let line = line("kill node-1", 5, &[Ok(samples::valid()), Ok(samples::invalid()), no_end]);
        insta::assert_snapshot!(format!("{}\n{line}", head()));
    }
}
