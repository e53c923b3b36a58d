//! `--swarm`: the same command on many machines is one run.

use super::output::Outputs;
use super::plan;
use super::shard::{self, ShardFlags};
use crate::analyse::merge::merge;
use crate::measure::{Machine, Outcome};
use crate::plan::{Plan, Shard};
use crate::report;
use crate::run::Steering;
use crate::swarm::{Collected, MAX_MEMBERS, Meeting, Member, Place, Store, Terms};
use anyhow::{Result, bail};
use clap::Args;
use judge::Verdict;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A wait for the others, in seconds; longer is a slip of the pen.
const MAX_WAIT_S: u64 = 86_400;
/// The default of such a wait, in seconds: time to start the same command on some machines by hand.
const WAIT_S: u64 = 60;
/// Characters of a swarm's name: it is a part of keys and of messages, and several targets make a long one.
const MAX_NAME: usize = 100;

/// The flags.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Many machines")]
pub struct SwarmFlags {
    /// Carry the plan out together with the same command on other machines, as many as --shards says: they meet in this
    /// Redis, begin at one moment, and each prints the result of all. user:password@ before the host, and rediss:// for
    /// TLS, work as well
    #[arg(long, value_name = "redis://HOST[:PORT][/DB]", conflicts_with = "start_at")]
    swarm: Option<String>,
    /// What this run is called in that Redis; members of one run have the same [default: the targets]
    #[arg(long, value_name = "NAME", requires = "swarm", value_parser = parse_name)]
    swarm_name: Option<String>,
    /// The longest wait for that Redis to answer, and then for the other members to come, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        requires = "swarm",
        default_value_t = WAIT_S,
        value_parser = clap::value_parser!(u64).range(1..=MAX_WAIT_S),
    )]
    swarm_wait: u64,
}

fn parse_name(text: &str) -> Result<String, String> {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_.:,".contains(letter);
    if text.is_empty() || text.chars().count() > MAX_NAME || !text.chars().all(is_plain) {
        return Err(format!("a swarm's name has letters, digits and - _ . : , and is at most {MAX_NAME} long"));
    }
    Ok(text.to_owned())
}

impl SwarmFlags {
    /// Whether this run is one of many.
    pub fn is_given(&self) -> bool {
        self.swarm.is_some()
    }

    /// Meets the others, if asked to; says on standard error how that goes. `None`: this run is on its own.
    ///
    /// # Errors
    /// What cannot be carried out by many, and why they did not meet.
    pub fn join(
        &self,
        plan: &Plan,
        shards: &ShardFlags,
        outputs: &Outputs,
        steering: &Steering,
        quiet: bool,
    ) -> Result<Option<Member>> {
        let Some(url) = &self.swarm else { return Ok(None) };
        let Some(count) = shards.count()? else { bail!("--swarm needs --shards N: how many members there are") };
        if count > MAX_MEMBERS {
            bail!("--swarm: {count} shards are too many; at most {MAX_MEMBERS}");
        }
        if plan.shard.is_some() || plan.start_at_ms.is_some() {
            bail!(
                "--swarm says which shard each member is, and when all begin: leave shard and start_at_ms out of the \
                 plan"
            );
        }
        let wanted = shards.given()?.map(|shard| shard.index);
        // Before anybody is waited for. The first shard has the largest share, the last the smallest.
        for index in [1, count] {
            plan::check(&shard::part(plan, Shard { index, count })?)?;
        }
        let assertions: Vec<String> = outputs.assertions.iter().map(ToString::to_string).collect();
        let place = Place {
            name: self.swarm_name.clone().unwrap_or_else(|| plan.targets.join(",")),
            member: format!("{}:{}", Machine::this().host, std::process::id()),
            terms: Terms::of(plan, count, &assertions)?,
            count,
            wanted,
            patience: Duration::from_secs(self.swarm_wait),
        };
        let told = |news: Meeting| match news {
            Meeting::Here { shard, present } if !quiet => {
                let name = &place.name;
                eprintln!("loadgen: swarm {name}: this is shard {shard}; {present} of {count} members are here");
            }
            Meeting::Here { .. } => {}
            Meeting::Away { why, patience } => {
                eprintln!("loadgen: {why}; it is waited for, for {} s at most", patience.as_secs());
            }
        };
        Ok(Some(Member::join(Store::open(url)?, &place, steering, &told)?))
    }
}

/// Adds what this member measured to what the others did. Where anything lacks, its own part is written to a file as
/// well, with a word on how to add it by hand: so every member has one.
pub fn conclude(member: Member, own: Outcome, outputs: &Outputs) -> Outcome {
    let shard = member.shard();
    if own.measured_s <= 0.0 {
        member.fail(&own.reasons.join("; "));
        return own;
    }
    let collected = member.exchange(own);
    let (sum, lacking) = add(&collected, shard);
    if !lacking.is_empty() {
        let file = part_file(outputs, shard);
        eprintln!("loadgen: {}", keep(collected.own(shard), &lacking.join("; "), &file, shard));
    }
    sum
}

/// Writes this shard's own part to a file. Answers with what somebody should know of that; without the file there is
/// still the result to print.
fn keep(own: &Outcome, lacking: &str, file: &Path, shard: Shard) -> String {
    match std::fs::write(file, report::json(own)) {
        Ok(()) => by_hand(lacking, file, shard),
        Err(error) => format!("{lacking}; what this shard measured cannot be kept in {}: {error}", file.display()),
    }
}

/// The result of all that there is, or of this shard alone if they cannot be added; and what it lacks.
fn add(collected: &Collected, shard: Shard) -> (Outcome, Vec<String>) {
    let missing = collected.missing.iter().map(|(index, why)| format!("shard {index}: {why}"));
    let mut lacking: Vec<String> = missing.chain(collected.trouble.clone()).collect();
    let parts: Vec<(String, Outcome)> =
        collected.parts.iter().map(|(index, outcome)| (format!("shard {index}"), outcome.clone())).collect();
    let mut sum = merge(&parts).unwrap_or_else(|error| {
        lacking.push(format!("this is shard {shard} alone, for the results cannot be added: {error}"));
        collected.own(shard).clone()
    });
    sum.reasons.extend(lacking.iter().cloned());
    if !lacking.is_empty() {
        sum.verdict = sum.verdict.max(Verdict::Unknown);
    }
    (sum, lacking)
}

/// Beside the sum's JSON, and under a name that nothing of the sum is written to.
fn part_file(outputs: &Outputs, shard: Shard) -> PathBuf {
    let Outputs { json, html, csv, markdown, junit, .. } = outputs;
    let is_taken = |name: &str| {
        let mut files = [json, html, csv, markdown, junit].into_iter().flatten();
        files.any(|file| file.file_name() == Some(OsStr::new(name)))
    };
    let mut name = format!("loadgen-{}.json", shard.tag());
    while is_taken(&name) {
        name.insert_str(0, "part-");
    }
    json.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).join(name)
}

fn by_hand(lacking: &str, file: &Path, shard: Shard) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name_of = |index| name.replace(&shard.tag(), &Shard { index, ..shard }.tag());
    let files: Vec<String> =
        (1..=shard.count).map(|index| file.with_file_name(name_of(index)).display().to_string()).collect();
    format!(
        "{lacking}; what this shard measured is in {}: bring such files together, as many as there are, and add them \
         with `loadgen merge {}`",
        file.display(),
        files.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_how_to_add_by_hand() {
        let shard = Shard { index: 2, count: 3 };
        let outputs = Outputs { json: Some("results/sum.json".into()), ..Outputs::default() };
        assert_eq!(
            by_hand("redis is gone", &part_file(&outputs, shard), shard),
            "redis is gone; what this shard measured is in results/loadgen-2of3.json: bring such files together, as \
             many as there are, and add them with `loadgen merge results/loadgen-1of3.json results/loadgen-2of3.json \
             results/loadgen-3of3.json`"
        );
    }

    #[test]
    fn the_sum_is_not_written_over_the_own_part() {
        let shard = Shard { index: 2, count: 3 };
        assert_eq!(part_file(&Outputs::default(), shard), Path::new("loadgen-2of3.json"));
        let outputs = Outputs { json: Some("results/loadgen-2of3.json".into()), ..Outputs::default() };
        let file = part_file(&outputs, shard);
        assert_eq!(file, Path::new("results/part-loadgen-2of3.json"));
        assert!(by_hand("", &file, shard).contains("results/part-loadgen-3of3.json"));
    }

    #[test]
    fn a_part_that_cannot_be_kept_is_a_warning() {
        let shard = Shard { index: 1, count: 2 };
        let directory = tempfile::tempdir().expect("a directory");
        let told = keep(&measured(shard), "redis is gone", &directory.path().join("no/such.json"), shard);
        assert!(told.starts_with("redis is gone; what this shard measured cannot be kept in "), "{told}");
        let file = directory.path().join("part.json");
        keep(&measured(shard), "redis is gone", &file, shard);
        assert_eq!(Outcome::load(&file).expect("kept"), measured(shard));
    }

    #[test]
    fn a_name_fits_into_a_key() {
        assert!(parse_name("nightly-3.1").is_ok());
        assert!(parse_name("10.0.0.1:8000,10.0.0.2:8000").is_ok());
        for wrong in ["", "a b", "{a}", "a\n", &"a".repeat(MAX_NAME + 1)] {
            assert!(parse_name(wrong).is_err(), "{wrong:?}");
        }
    }

    fn measured(shard: Shard) -> Outcome {
        let plan = Plan { targets: vec!["h:1".into()], ..Plan::default() };
        let mut outcome = Outcome::failed(plan.part(shard), String::new());
        (outcome.verdict, outcome.measured_s) = (Verdict::Valid, 1.0);
        (outcome.logins, outcome.online) = (200, (200, 200));
        (outcome.account.sent, outcome.account.expected, outcome.account.delivered) = (5, 5, 5);
        outcome
    }

    #[test]
    fn what_is_missing_is_said_and_leaves_the_verdict_unknown() {
        let shard = Shard { index: 1, count: 2 };
        let missing = [(2, "it died".to_owned())].into();
        let (sum, lacking) = add(&Collected { parts: [(1, measured(shard))].into(), missing, trouble: None }, shard);
        assert_eq!((sum.verdict, sum.account.sent), (Verdict::Unknown, 5));
        assert_eq!(sum.reasons, ["shard 2 is missing", "shard 2: it died"]);
        assert_eq!(lacking, ["shard 2: it died"]);
    }

    #[test]
    fn what_cannot_be_added_leaves_the_own_part() {
        let shard = Shard { index: 1, count: 2 };
        let mut other = measured(Shard { index: 2, count: 2 });
        other.plan.qos = 0;
        let parts = [(1, measured(shard)), (2, other)].into();
        let (sum, lacking) = add(&Collected { parts, missing: [].into(), trouble: None }, shard);
        assert_eq!((sum.verdict, sum.plan.shard), (Verdict::Unknown, Some(shard)));
        assert_eq!(sum.reasons.last(), lacking.last());
        assert_eq!(
            lacking,
            ["this is shard 1/2 alone, for the results cannot be added: shard 1 and shard 2 did not carry out the \
                 same plan: qos differs"]
        );
    }
}
