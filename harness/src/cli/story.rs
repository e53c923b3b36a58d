//! `harness story`: one story with one fault, on a cluster of its own.

use super::output::Outputs;
use super::stage::Stage;
use anyhow::{Result, bail};
use clap::Args;
use harness::fault::Fault;
use harness::story::Plot;
use judge::Verdict;
use std::time::Duration;

#[derive(Args)]
pub struct Arguments {
    /// chat: all write to friends and groups; offline: some leave and come back elsewhere; logins: some take their
    /// session over from another node
    #[arg(default_value = "chat")]
    plot: Plot,
    /// What breaks meanwhile, as `harness fault` has it: --fault 'kill node-1'; repeat for several at once [default:
    /// nothing]
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
    /// How long it stays broken
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    #[command(flatten)]
    stage: Stage,
    #[command(flatten)]
    outputs: Outputs,
}

/// Prints what each promise came to; an error where the verdict is not `valid`.
pub async fn execute(arguments: Arguments) -> Result<()> {
    let Arguments { plot, faults, seconds, stage, outputs } = arguments;
    let with = |word: fn(&Fault) -> String| faults.iter().map(word).collect::<String>();
    let about = format!("story {plot}, {} users{}, {seconds} s", stage.users, with(|fault| format!(", {fault}")));
    let flags = with(|fault| format!(" --fault '{fault}'"));
    let command = format!("harness story {plot}{flags} --seconds {seconds} {}", stage.flags());
    eprintln!("harness: {about}, on {} nodes", stage.nodes);
    let (builder, lasting) = (stage.builder(&faults), Duration::from_secs(seconds));
    let told =
        stage.tell(builder, || command.clone(), async |story| story.of(plot).lasting(lasting).tell(&faults).await);
    let told = told.await;
    if let Ok(conclusion) = &told {
        print!("{conclusion}");
    }
    outputs.write(&told, &about, &command)?;
    match told?.verdict() {
        Verdict::Valid => Ok(()),
        verdict => bail!("the verdict is {}", verdict.name()),
    }
}
