//! Promise: four processes that share a plan measure what one would, and their results add up exactly.

use judge::Verdict;
use loadgen::cluster::Cluster;
use loadgen::measure::{Latencies, Outcome};
use loadgen::plan::Plan;
use loadgen::plan::Shard;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SHARDS: u32 = 4;
const USERS: u32 = 42;
/// From now until all shards have logged in, for a slow machine; a shard that is later says so and is counted all the
/// same.
const LEAD_MS: i64 = 6_000;

fn loadgen() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn start(shard: u32, targets: &[String], start_ms: i64, directory: &Path) -> (Child, PathBuf) {
    let file = directory.join(format!("{shard}.json"));
    let mut command = loadgen();
    command.args(["run", "--quiet", "--duration", "2", "--ramp", "0.2", "--rate", "200", "--mix", "friend_chat=2"]);
    command.args(["--mix", "group_chat=1", "--group-size", "4", "--users", &USERS.to_string()]);
    command.args(["--shard", &format!("{shard}/{SHARDS}"), "--start-at", &format!("@{}", start_ms as f64 / 1e3)]);
    for target in targets {
        command.args(["--target", target]);
    }
    let child = command.arg("--json").arg(&file).stdout(Stdio::null()).spawn().expect("loadgen starts");
    (child, file)
}

#[test]
fn four_processes_add_up_exactly() {
    let cluster = Cluster::start(2).expect("an embedded cluster");
    let directory = tempfile::tempdir().expect("a directory");
    let start_ms = jiff::Timestamp::now().as_millisecond() + LEAD_MS;

    let started: Vec<_> =
        (1..=SHARDS).map(|shard| start(shard, &cluster.targets(), start_ms, directory.path())).collect();
    let files: Vec<PathBuf> = started
        .into_iter()
        .map(|(mut child, file)| {
            let status = child.wait().expect("loadgen ends");
            assert!(status.success(), "{}: {status}", file.display());
            file
        })
        .collect();
    let merged = directory.path().join("merged.json");
    let merge = loadgen().arg("merge").args(&files).arg("--json").arg(&merged).output().expect("loadgen runs");
    assert!(merge.status.success(), "{}", String::from_utf8_lossy(&merge.stderr));

    let parts: Vec<Outcome> = files.iter().map(|file| Outcome::load(file).expect("a result")).collect();
    let sum = Outcome::load(&merged).expect("a merged result");
    assert_eq!((sum.verdict, sum.shards, sum.plan.users), (Verdict::Valid, SHARDS, USERS));
    assert!(parts.iter().all(|part| part.measured_from_ms >= start_ms && part.account.sent > 0));
    let counts = |outcome: &Outcome| outcome.account.counts().map(|(_, count)| count);
    for (place, (name, count)) in sum.account.counts().into_iter().enumerate() {
        assert_eq!(count, parts.iter().map(|part| counts(part)[place]).sum::<u64>(), "{name}");
    }
    assert_eq!(sum.account.foreign, 0, "shards must not see one another's messages");
    for (path, latencies) in &sum.latencies {
        let mut expected = Latencies::default();
        parts.iter().filter_map(|part| part.latencies.get(path)).for_each(|part| expected.add(part));
        assert_eq!(latencies, &expected, "{path}");
    }
    let rows =
        |outcome: &Outcome| outcome.seconds.iter().map(|second| (second.sent, second.delivered)).collect::<Vec<_>>();
    let in_rows = rows(&sum).into_iter().fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
    let in_parts = parts.iter().flat_map(rows).fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
    assert_eq!(in_rows, in_parts);
}

#[test]
fn a_shard_without_a_target_is_refused() {
    let run = loadgen().args(["run", "--shard", "1/2"]).output().expect("loadgen runs");
    assert_eq!(run.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&run.stderr).contains("a plan that several processes share needs --target"));
}

#[test]
fn parts_of_the_default_plan_make_the_whole() {
    let plan = Plan::default();
    let users: u32 = (1..=7).map(|index| plan.part(Shard { index, count: 7 }).users).sum();
    assert_eq!(users, plan.users);
}
