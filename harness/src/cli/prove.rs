//! `harness prove`: shows that the checkers find what they are there for, in the simulator and in containers.
//!
//! Each [`Trial`] builds one fault into the server (see `chat::failpoint`), tells a story that it must spoil, and looks
//! whether the verdict names a promise that it breaks. The same stories without any fault built in must be valid, else
//! a red verdict would prove nothing.

use anyhow::{Result, ensure};
use chat::failpoint::Failpoint;
use clap::Args;
use futures_util::{StreamExt, stream};
use harness::cluster::Setup;
use harness::containers::Containers;
use harness::fault::Fault;
use harness::program::{Program, built};
use harness::story::{Plot, Story};
use harness::users::Conclusion;
use judge::Verdict;
use sim::proof::{BUGS, Proof, Table, breaks};
use std::time::Duration;

#[derive(Args)]
pub struct Arguments {
    /// Only those whose name contains this, as in push or sweep::skip
    #[arg(default_value = "")]
    only: String,
    /// Look for them in the simulator alone: by which promise each is found, and after how many seeds
    #[arg(long)]
    simulator: bool,
    /// From how many seeds on to look for each in the simulator; the median is told
    #[arg(long, default_value_t = 1)]
    starts: u64,
    /// Seeds to try from each of them
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// Clusters at the same time
    #[arg(long, default_value_t = 2)]
    at_once: usize,
    #[arg(long, default_value_t = 25)]
    users: usize,
}

/// A fault of the server, and the story that shows it.
#[derive(Clone, Copy)]
struct Trial {
    /// `None`: the story as it must be.
    failpoint: Option<Failpoint>,
    /// How often, as the crate `fail` has it.
    often: &'static str,
    plot: Plot,
    faults: &'static [&'static str],
    seconds: u64,
    /// The fault of the environment lasts until everything should have arrived.
    stays_broken: bool,
}

/// What stands above the lines.
const HEAD: &str = "built in                story                                                verdict   broken";
/// For what is on its way: two looks into the log, which come every ten seconds. What a trial has lost never comes.
const PATIENCE: Duration = Duration::from_secs(21);

const RIGHT: Trial =
    Trial { failpoint: None, often: "off", plot: Plot::Chat, faults: &[], seconds: 3, stays_broken: false };
const DATABASE_KILLED: Trial = Trial { faults: &["kill database"], ..RIGHT };
const REDIS_GONE: Trial = Trial { faults: &["kill redis"], stays_broken: true, ..RIGHT };
/// Longer than the lease (8 s).
const NODE_ALONE: Trial =
    Trial { plot: Plot::Logins, faults: &["cut node-2 database", "cut node-2 redis"], seconds: 12, ..RIGHT };
const OFFLINE: Trial = Trial { plot: Plot::Offline, ..RIGHT };

/// The stories without a fault built in, and then with each.
fn trials() -> Vec<Trial> {
    let with =
        |failpoint: Failpoint, often: &'static str, story: Trial| Trial { failpoint: Some(failpoint), often, ..story };
    vec![
        RIGHT,
        DATABASE_KILLED,
        REDIS_GONE,
        NODE_ALONE,
        OFFLINE,
        with(Failpoint::PushDrop, "1%return", RIGHT),
        with(Failpoint::PushTwice, "1%return", RIGHT),
        with(Failpoint::PushSwap, "1%return", RIGHT),
        with(Failpoint::PushAlter, "1%return", RIGHT),
        with(Failpoint::PushMisdeliver, "1%return", RIGHT),
        with(Failpoint::WriterAckEarly, "return", DATABASE_KILLED),
        with(Failpoint::WriterForgetMid, "return", RIGHT),
        with(Failpoint::LeaseStale, "return", NODE_ALONE),
        with(Failpoint::SweepSkip, "return", REDIS_GONE),
        with(Failpoint::SessionOfflineLost, "50%return", OFFLINE),
        with(Failpoint::IdentityTrust, "return", RIGHT),
    ]
}

impl Trial {
    fn name(&self) -> &'static str {
        self.failpoint.map_or("(none)", Failpoint::name)
    }

    /// Environment and story in words.
    fn story(&self) -> String {
        let faults = self.faults.join(", ");
        format!("{}{}{faults}", self.plot, if faults.is_empty() { "" } else { " with " })
    }

    async fn tell(&self, users: usize) -> Result<Conclusion> {
        let failpoints = self.failpoint.map(|point| format!("{}={}", point.name(), self.often)).unwrap_or_default();
        let cluster = Containers::builder(Setup::nodes(2)).failpoints(&failpoints).start().await?;
        let lasting = Duration::from_secs(self.seconds);
        let mut story = Story::on(&*cluster).of(self.plot).users(users).lasting(lasting).patience(PATIENCE);
        if self.stays_broken {
            story = story.staying_broken();
        }
        let faults = self.faults.iter().map(|fault| fault.parse()).collect::<Result<Vec<Fault>>>()?;
        let told = story.tell(&faults).await;
        if let Err(error) = cluster.stop().await {
            eprintln!("harness: {error:#}; the reaper tries again when this process ends");
        }
        told
    }

    /// Whether the conclusion is what the trial asks for.
    fn is_proved_by(&self, conclusion: &Conclusion) -> bool {
        match self.failpoint {
            None => conclusion.verdict() == Verdict::Valid,
            Some(failpoint) => breaks(failpoint).iter().any(|promise| conclusion.judgement.of(*promise).violated > 0),
        }
    }
}

/// Prints a line for each trial; an error unless every one is as it must be.
pub async fn execute(arguments: Arguments) -> Result<()> {
    let Arguments { only, simulator, starts, seeds, at_once, users } = arguments;
    simulate(&only, starts, seeds).await?;
    if simulator { Ok(()) } else { tell_stories(&only, at_once, users).await }
}

/// The simulator's part.
async fn simulate(only: &str, starts: u64, most: u64) -> Result<()> {
    let known = Failpoint::ALL.iter().any(|failpoint| failpoint.name().contains(only));
    ensure!(known, "no failpoint's name contains {only:?}");
    let proof = Proof { starts, most, ..Proof::new(built(Program::SimulatorWithFailpoints)?) };
    println!("{}", Table::head());
    let mut table = Table::default();
    for bug in BUGS.iter().filter(|bug| bug.failpoint.name().contains(only)) {
        let found = proof.of(bug).await?;
        println!("{}", Table::line(bug, &found));
        table.add(*bug, found);
    }
    let missed = table.not_found();
    ensure!(missed.is_empty(), "the simulator does not find {} within {most} seeds", missed.join(", "));
    Ok(())
}

/// The part of clusters in containers, which cannot show all of them: a hole that takes a moment seldom opens there.
async fn tell_stories(only: &str, at_once: usize, users: usize) -> Result<()> {
    let trials: Vec<Trial> = trials().into_iter().filter(|trial| trial.name().contains(only)).collect();
    println!("{HEAD}");
    let told = stream::iter(&trials).map(|trial| async move { (trial, trial.tell(users).await) });
    let mut told = told.buffered(at_once.max(1));
    let mut unproved = Vec::new();
    while let Some((trial, told)) = told.next().await {
        let is_proved = told.as_ref().is_ok_and(|conclusion| trial.is_proved_by(conclusion));
        println!("{}", line(trial, &told));
        if !is_proved {
            unproved.push(format!("{} in {}", trial.name(), trial.story()));
            if let Ok(conclusion) = &told {
                eprintln!("{conclusion}");
            }
        }
    }
    ensure!(unproved.is_empty(), "not as it must be: {}", unproved.join("; "));
    println!("{} stories, each judged as it must be", trials.len());
    Ok(())
}

fn line(trial: &Trial, told: &Result<Conclusion>) -> String {
    format!("{:<23} {:<52} {}", trial.name(), trial.story(), describe(trial, told))
}

/// The verdict, the promises found broken, and a violation of the promise in question in words.
fn describe(trial: &Trial, told: &Result<Conclusion>) -> String {
    let conclusion = match told {
        Ok(conclusion) => conclusion,
        Err(error) => return format!("no end    {error:#}"),
    };
    let broken: Vec<_> = conclusion.judgement.findings.iter().filter(|finding| finding.violated > 0).collect();
    let names: Vec<String> =
        broken.iter().map(|finding| format!("{} ({})", finding.guarantee, finding.violated)).collect();
    let promises = trial.failpoint.map(breaks).unwrap_or_default();
    let meant = broken.iter().find(|finding| promises.contains(&finding.guarantee)).or(broken.first());
    let first = meant.and_then(|finding| finding.violations.first()).map(|violation| violation.what.as_str());
    let text = format!("{:<9} {}", conclusion.verdict().name(), names.join(", "));
    first.map_or(text.clone(), |first| format!("{text}: {first}")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples;

    #[test]
    fn each_trial_has_a_line_with_what_was_found_broken() {
        assert_eq!(HEAD, format!("{:<23} {:<52} {:<9} broken", "built in", "story", "verdict"));
        let told = |trial: &Trial| match trial.failpoint {
            None => Ok(samples::valid()),
            Some(Failpoint::PushDrop) => Ok(samples::invalid()),
            Some(_) => Err(anyhow::anyhow!("the cluster does not start")),
        };
        let lines: Vec<String> = trials().iter().map(|trial| line(trial, &told(trial))).collect();
        insta::assert_snapshot!(format!("{HEAD}\n{}", lines.join("\n")));
    }
}
