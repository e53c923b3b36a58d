//! Promise: a cluster leaves nothing behind, whatever ends the process that started it, and what cannot work says so at
//! once. Fault: the process is killed, the engine is not there, an image is not there.

use chat_protocol::conversation::Target;
use harness::cluster::{Cluster, Setup};
use harness::containers::{Containers, docker, evidence, list};
use harness::fault::Fault;
use harness::users::meet;
use judge::history::{self, Entry, Event};
use services::eventually;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// For everything of a killed process to be gone.
const REAPED: Duration = Duration::from_secs(10);
/// For a cluster to be up, on a machine that runs other tests.
const UP: Duration = Duration::from_secs(90);

fn harness() -> Command {
    Command::new(env!("CARGO_BIN_EXE_harness"))
}

/// How many containers and networks there are whose name begins with the cluster's.
async fn left_of(cluster: &str) -> usize {
    let docker = docker::connect().await.expect("the engine answers");
    let containers = list(&docker).await.expect("the engine answers");
    let networks = docker.list_networks(None).await.expect("the engine answers");
    let is_its_own = |name: &Option<String>| name.as_deref() == Some(cluster);
    containers.iter().filter(|entry| entry.cluster == cluster).count()
        + networks.iter().filter(|network| is_its_own(&network.name)).count()
}

fn fails_with(command: &mut Command, words: &[&str]) {
    let Output { status, stderr, .. } = command.output().expect("harness runs");
    let said = String::from_utf8_lossy(&stderr);
    assert!(!status.success(), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_when_a_cluster_is_dropped() {
    let cluster = Containers::builder(Setup::nodes(1)).start().await.expect("a cluster of one node");
    let name = cluster.name().to_owned();
    assert_eq!(left_of(&name).await, 5);

    drop(cluster);

    assert_eq!(left_of(&name).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_ten_seconds_after_a_kill() {
    let name = format!("chat-killed-{}", std::process::id());
    let mut up = harness();
    up.args(["up", "--nodes", "1", "--name", &name]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut up = up.spawn().expect("harness runs");
    let is_up = async || (left_of(&name).await == 5).then_some(());
    eventually(UP, "the cluster is up", is_up).await;

    up.kill().expect("it runs");
    up.wait().expect("it has ended");

    let is_gone = async || (left_of(&name).await == 0).then_some(());
    eventually(REAPED, "all of it is gone", is_gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_test_leaves_what_tells_why_but_no_container() {
    let cluster = Containers::builder(Setup::nodes(1)).start().await.expect("a cluster of one node");
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.entry()], 2).await;
    let online = users[0].log_in(&[cluster.entry()]).await.expect("nobody is online yet");
    online.say_and_wait(Target::User(users[1].id)).await.expect("the message is acknowledged");
    let name = cluster.name().to_owned();
    let directory = evidence::directory(&name).expect("this program is somewhere");

    let failing = tokio::spawn(async move {
        let _cluster = cluster;
        panic!("as a test does that fails");
    });

    assert!(failing.await.is_err());
    for file in ["node-1.log", "database.log", "redis.log", "nginx.log", "nginx.conf", "node-1.container", "again.txt"]
    {
        assert!(directory.join(file).exists(), "{file} is not in {}", directory.display());
    }
    let log = std::fs::read_to_string(directory.join("node-1.log")).expect("it is there");
    assert!(log.contains("chat server ready"), "{log}");
    let history = history::read(&directory.join("history-1.jsonl.zst")).expect("it is there");
    let is_ack = |entry: &Entry| matches!(entry.event, Event::Ack { .. });
    assert_eq!(history.map(|entry| entry.expect("an entry")).filter(is_ack).count(), 1);
    let verdict = std::fs::read_to_string(directory.join("verdict-1.txt")).expect("it is there");
    assert!(verdict.contains("unknown"), "{verdict}");
    assert_eq!(left_of(&name).await, 0);
    std::fs::remove_dir_all(directory).expect("it is ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn name_in_use_is_refused_and_its_cluster_lives_on() {
    let name = format!("chat-named-{}", std::process::id());
    let cluster = Containers::builder(Setup::nodes(1)).name(&name).start().await.expect("a cluster of one node");

    fails_with(harness().args(["up", "--name", &name]), &["runs already", "another name"]);

    cluster.ready("node-1").await.expect("the first cluster lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_run_side_by_side() {
    let builder = || Containers::builder(Setup::nodes(1)).start();
    let (one, other) = tokio::join!(builder(), builder());
    let (one, other) = (one.expect("a cluster"), other.expect("another cluster"));
    assert_ne!(one.entry(), other.entry());
    assert_ne!(one.database_url(), other.database_url());
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_heal_when_dropped() {
    let cluster = Containers::builder(Setup::nodes(1)).start().await.expect("a cluster of one node");
    for fault in ["kill redis", "pause node-1", "isolate redis", "cut node-1 redis", "kill node-1"] {
        let fault: Fault = fault.parse().expect("it is a fault");
        let active = fault.inflict(&*cluster).await.expect("it can be inflicted");
        drop(active);
        for machine in cluster.machines() {
            let ready = cluster.ready(&machine).await;
            assert!(ready.is_ok(), "after {fault}: {ready:?}");
        }
    }
}

#[test]
fn missing_engine_is_explained() {
    let mut ps = harness();
    fails_with(ps.arg("ps").env("DOCKER_HOST", "unix:///nowhere/docker.sock"), &["/nowhere", "systemctl start docker"]);
}

#[test]
fn wrong_image_override_is_explained() {
    let mut up = harness();
    up.args(["up", "--nodes", "1"]).env("CHAT_REDIS_IMAGE", "no-such-image-of-ours:1");
    fails_with(&mut up, &["CHAT_REDIS_IMAGE names no-such-image-of-ours:1", "correct or unset it"]);
}

#[test]
fn wrong_words_are_explained() {
    fails_with(harness().args(["fault", "explode", "node-1"]), &["there is no fault", "rolling-restart"]);
    fails_with(harness().args(["fault", "--cluster", "nowhere", "kill", "node-1"]), &["nowhere", "harness ps"]);
    fails_with(harness().args(["story", "dance"]), &["dance", "chat, offline, logins"]);
    fails_with(harness().args(["story", "--fault", "explode node-1"]), &["there is no fault", "rolling-restart"]);
    fails_with(harness().args(["chaos", "--seed", "1", "--steps", "1,999"]), &["the schedule has the steps 1 to"]);
    fails_with(harness().args(["chaos", "--minutes", "0"]), &["--minutes is more than 0"]);
    fails_with(harness().args(["table", "dancing"]), &["no fault of the table contains", "dancing"]);
    fails_with(harness().args(["prove", "dancing"]), &["no failpoint's name contains", "dancing"]);
}
