//! Promise: the same command on many machines is one run: no two have the same shard, all carry out the same plan, and
//! each has the exact result of all. Faults: members that never come, come late, ask for something else or die, and a
//! Redis that goes away.
//!
//! The machines are processes, and their Redis is one of their own.

mod support;

use judge::Verdict;
use loadgen::cluster::Cluster;
use loadgen::measure::{Latencies, Outcome};
use services::redis::Redis;
use std::path::PathBuf;
use std::process::{Command, Output};
use support::running::Running;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const USERS: u32 = 21;
/// The file with what every member's plan has beside its flags.
const PLAN: &str = "plan.toml";

/// A server, a Redis, and a directory for results.
struct Place {
    cluster: Cluster,
    runtime: Runtime,
    redis: Redis,
    directory: TempDir,
}

impl Place {
    fn open() -> Place {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let redis = runtime.block_on(Redis::start()).expect("a Redis");
        Place::beside(runtime, redis)
    }

    /// With a Redis that is not there yet.
    fn without_redis() -> Place {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Place::beside(runtime, Redis::down().expect("a port"))
    }

    fn beside(runtime: Runtime, redis: Redis) -> Place {
        let cluster = Cluster::start(2).expect("an embedded cluster");
        let directory = tempfile::tempdir().expect("a directory");
        // Where processors are scarce a login takes a while, which is not what is tested here.
        std::fs::write(directory.path().join(PLAN), "connect_timeout_s = 60.0\n").expect("written");
        Place { cluster, runtime, redis, directory }
    }

    /// What a member is given.
    fn arguments(&self, count: u32, duration_s: &str, more: &[&str]) -> Vec<String> {
        let mut arguments: Vec<String> = ["run", "--ramp", "0.2", "--rate", "150", "--mix", "friend_chat=2"]
            .into_iter()
            .chain(["--mix", "group_chat=1", "--group-size", "4", "--swarm", &self.redis.url()])
            .chain(["--users", &USERS.to_string(), "--shards", &count.to_string(), "--duration", duration_s])
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect();
        arguments.push(self.file(PLAN).display().to_string());
        self.cluster.targets().into_iter().for_each(|target| arguments.extend(["--target".to_owned(), target]));
        arguments
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a member whose result goes to a file of its own.
    fn start(&self, count: u32, duration_s: &str, name: &str, more: &[&str]) -> Running {
        let json = self.file(name).display().to_string();
        let more: Vec<&str> = more.iter().copied().chain(["--json", json.as_str()]).collect();
        let arguments = self.arguments(count, duration_s, &more);
        Running::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A member that comes to nothing: its exit code and its last words.
    fn refused(&self, count: u32, duration_s: &str, more: &[&str]) -> (Option<i32>, String) {
        told(loadgen().args(self.arguments(count, duration_s, more)).output().expect("loadgen runs"))
    }

    fn result(&self, name: &str) -> Outcome {
        Outcome::load(&self.file(name)).expect("a result")
    }
}

fn loadgen() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.env_remove("JOB_COMPLETION_INDEX").env("NO_COLOR", "1");
    command
}

fn told(output: Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn assert_is_sum(sum: &Outcome, parts: &[Outcome]) {
    let counts = |outcome: &Outcome| outcome.account.counts().map(|(_, count)| count);
    for (place, (name, count)) in sum.account.counts().into_iter().enumerate() {
        assert_eq!(count, parts.iter().map(|part| counts(part)[place]).sum::<u64>(), "{name}");
    }
    for (path, latencies) in &sum.latencies {
        let mut expected = Latencies::default();
        parts.iter().filter_map(|part| part.latencies.get(path)).for_each(|part| expected.add(part));
        assert_eq!(latencies, &expected, "{path}");
    }
}

#[test]
fn three_members_measure_as_one() {
    let place = Place::open();
    let kept = place.file("kept");
    let keep = ["--keep", kept.to_str().expect("a name")];
    let names = ["a.json", "b.json", "c.json"];

    let members = names.map(|name| place.start(3, "2", name, &keep));
    members.iter().for_each(|member| drop(member.says("3 of 3 shards: ")));
    for member in members {
        let (status, shown) = member.ends();
        assert!(status.success() && shown.ends_with("valid\n"), "{status} {shown}");
    }

    let part = |shard: u32| Outcome::load(&kept.join(format!("{shard}of3/result.json"))).expect("a shard's result");
    let parts: Vec<Outcome> = (1..=3).map(part).collect();
    for sum in names.map(|name| place.result(name)) {
        assert_eq!((sum.verdict, sum.shards, sum.plan.users), (Verdict::Valid, 3, USERS));
        assert_eq!(sum.clocks.iter().map(|clock| clock.shard).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(parts.iter().all(|part| part.account.sent > 0));
        assert_is_sum(&sum, &parts);
    }
}

#[test]
fn a_member_with_another_plan_is_told_what_differs_and_the_others_go_on() {
    let place = Place::open();
    let first = place.start(2, "1", "a.json", &[]);
    first.says("1 of 2 members are here");

    let (code, why) = place.refused(2, "1", &["--qos", "0"]);
    assert_eq!(code, Some(3), "{why}");
    assert!(why.contains("carries out another plan: qos is 0 here, and 1 there"), "{why}");
    let (code, why) = place.refused(3, "1", &[]);
    assert_eq!(code, Some(3), "{why}");
    assert!(why.contains("shards is 3 here, and 2 there"), "{why}");

    let second = place.start(2, "1", "b.json", &[]);
    assert!(first.ends().0.success() && second.ends().0.success());
}

#[test]
fn who_comes_late_is_refused_and_the_next_run_of_that_name_is_not() {
    let place = Place::open();
    let run = |names: [&str; 2]| names.map(|name| place.start(2, "2", name, &["--swarm-name", "night"]));
    let members = run(["a.json", "b.json"]);
    members.iter().for_each(|member| drop(member.says("measuring")));
    let (code, why) = place.refused(2, "2", &["--swarm-name", "night"]);
    assert_eq!(code, Some(3), "{why}");
    assert!(why.contains("too late: swarm night has begun with "), "{why}");
    members.into_iter().for_each(|member| assert!(member.ends().0.success()));

    run(["c.json", "d.json"]).into_iter().for_each(|member| assert!(member.ends().0.success()));
    assert_ne!(place.result("a.json").measured_from_ms, place.result("c.json").measured_from_ms);
}

#[test]
fn members_that_never_come_are_waited_for_and_then_no_more() {
    let place = Place::open();
    let (code, why) = place.refused(3, "1", &["--swarm-wait", "1"]);
    assert_eq!(code, Some(3), "{why}");
    assert!(why.contains("only 1 of 3 members of swarm ") && why.contains("came within 1 s"), "{why}");
}

#[test]
fn a_redis_that_is_not_there_yet_is_waited_for() {
    let mut place = Place::without_redis();
    let (code, why) = place.refused(2, "1", &["--swarm-wait", "1"]);
    assert_eq!(code, Some(3), "{why}");
    assert!(why.contains("it is waited for, for 1 s at most"), "{why}");
    assert!(why.lines().last().is_some_and(|line| line.contains("cannot be used: ")), "{why}");

    let members = ["a.json", "b.json"].map(|name| place.start(2, "1", name, &[]));
    members.iter().for_each(|member| drop(member.says("it is waited for, for 60 s at most")));
    place.runtime.block_on(place.redis.restart_empty()).expect("it starts");
    members.into_iter().for_each(|member| assert!(member.ends().0.success()));
    assert_eq!(place.result("a.json").shards, 2);
}

#[test]
fn who_is_interrupted_while_it_waits_leaves_its_place_to_another() {
    let place = Place::open();
    let shard = |index: &'static str| place.start(2, "1", "a.json", &["--shard", index, "--swarm-wait", "60"]);
    let left = shard("1/2");
    left.says("1 of 2 members are here");
    left.signal(libc::SIGINT);
    assert_eq!(left.ends().0.code(), Some(3));

    let (code, why) = place.refused(2, "1", &["--shard", "1/2", "--swarm-wait", "1"]);
    assert_eq!(code, Some(3), "{why}");
    assert!(why.contains("only 1 of 2 members"), "it had the place: {why}");
}

#[test]
fn a_member_that_died_while_it_waited_is_in_nobodys_way() {
    let place = Place::open();
    let dead = place.start(2, "1", "dead.json", &["--shard", "1/2"]);
    dead.says("1 of 2 members are here");
    dead.signal(libc::SIGKILL);
    dead.ends();

    let members = ["1/2", "2/2"].map(|shard| place.start(2, "1", "a.json", &["--shard", shard]));
    members.into_iter().for_each(|member| assert!(member.ends().0.success()));
    assert_eq!(place.result("a.json").shards, 2);
}

#[test]
fn a_member_that_dies_leaves_the_verdict_of_all_unknown_with_its_name() {
    let place = Place::open();
    let members =
        [1, 2].map(|shard| place.start(3, "4", &format!("{shard}.json"), &["--shard", &format!("{shard}/3")]));
    let dying = place.start(3, "4", "3.json", &["--shard", "3/3"]);
    dying.says("measuring");
    dying.signal(libc::SIGKILL);
    dying.ends();

    for (shard, member) in (1..).zip(members) {
        member.says("shard 3 (");
        let (status, shown) = member.ends();
        assert_eq!(status.code(), Some(2), "{shown}");
        assert!(shown.contains("shard 3: it died: it told nothing for 10 s"), "{shown}");
        assert_eq!(place.result(&format!("{shard}.json")).shards, 2);
    }
}

#[test]
fn a_member_that_cannot_begin_tells_the_others_why() {
    let place = Place::open();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let good = place.start(2, "1", "a.json", &["--shard", "1/2"]);
    let (code, why) = place.refused(2, "1", &["--shard", "2/2", "--live", &address]);
    assert_eq!(code, Some(3), "{why}");

    let why = good.says("shard 2 (");
    assert!(why.contains(&format!(") will not measure: cannot show the live page at {address}: ")), "{why}");
    let (status, _) = good.ends();
    assert_eq!(status.code(), Some(3));
}

#[test]
fn a_redis_that_goes_away_stops_no_load_and_the_results_are_added_by_hand() {
    let mut place = Place::open();
    let members =
        [1, 2].map(|shard| place.start(2, "4", &format!("{shard}.json"), &["--shard", &format!("{shard}/2")]));
    members.iter().for_each(|member| drop(member.says("measuring")));
    place.redis.kill().expect("it runs");

    for member in members {
        member.says("the load goes on without it");
        member.says("add them with `loadgen merge");
        let (status, shown) = member.ends();
        assert_eq!(status.code(), Some(2), "{shown}");
        assert!(shown.contains("is missing; redis at "), "{shown}");
    }
    let files = [1, 2].map(|shard| place.file(&format!("loadgen-{shard}of2.json")));
    let merged = place.file("merged.json");
    let merge = loadgen().arg("merge").args(&files).arg("--json").arg(&merged).output().expect("loadgen runs");
    assert_eq!(merge.status.code(), Some(0), "{}", String::from_utf8_lossy(&merge.stderr));
    let parts = files.map(|file| Outcome::load(&file).expect("a shard's result"));
    assert_is_sum(&Outcome::load(&merged).expect("a merged result"), &parts);
}

#[test]
fn a_redis_that_comes_back_empty_costs_nothing() {
    let mut place = Place::open();
    let members = ["a.json", "b.json"].map(|name| place.start(2, "4", name, &[]));
    members.iter().for_each(|member| drop(member.says("measuring")));
    place.runtime.block_on(place.redis.restart_empty()).expect("it starts again");

    members.into_iter().for_each(|member| assert!(member.ends().0.success()));
    assert_eq!(place.result("a.json").shards, 2);
}

#[test]
fn an_interrupt_of_one_ends_the_run_of_all_with_a_result() {
    let place = Place::open();
    let members = ["a.json", "b.json"].map(|name| place.start(2, "600", name, &[]));
    // A second after it began: before that there may be nothing to report.
    members.iter().for_each(|member| drop(member.says("2 of 2 shards: ")));
    members[0].signal(libc::SIGINT);
    for member in members {
        let (status, shown) = member.ends();
        assert!(status.success() && shown.contains("interrupted after "), "{status} {shown}");
    }
    assert_eq!(place.result("b.json").shards, 2);
}

#[test]
fn what_cannot_be_is_told_at_once() {
    let check = |more: &[&str], expected: &str| {
        let output = loadgen().args(["run", "--target", "127.0.0.1:1"]).args(more).output().expect("loadgen runs");
        let (code, why) = told(output);
        assert_eq!(code, Some(3), "{why}");
        assert!(why.contains(expected), "{why}");
    };
    let swarm = ["--swarm", "redis://:geheim@127.0.0.1:1"];
    let with = |more: &[&'static str]| [&swarm[..], more].concat();
    check(&with(&[]), "--swarm needs --shards N");
    check(&with(&["--shards", "101"]), "101 shards are too many; at most 100");
    check(&with(&["--shards", "2", "--users", "3"]), "3 users are too few for 2 shards");
    for flags in [["--rounds", "1"], ["--baseline", "main"], ["--save-baseline", "main"], ["--baselines", "there"]] {
        check(&with(&[&["--shards", "2"], &flags[..]].concat()), "leave out --rounds and baselines");
    }
    check(&["--shards", "2", "--swarm", "localhost"], "--swarm: ");
    let directory = tempfile::tempdir().expect("a directory");
    let plan = directory.path().join(PLAN);
    for text in ["shard = { index = 1, count = 2 }\n", "start_at_ms = 1\n"] {
        std::fs::write(&plan, text).expect("written");
        let more = [&swarm[..], &["--shards", "2", plan.to_str().expect("a name")]].concat();
        check(&more, "leave shard and start_at_ms out of the plan");
    }
    check(&["--shards", "2", "--shard", "auto"], "JOB_COMPLETION_INDEX is not set");
    check(&["--shards", "2"], "--shards needs --swarm, or --shard auto");
}
