//! The dashboard and the alerts in conf/ ask for what nodes have, and a quiet cluster sets no alert off.

use crate::support::{BUDGET, Cluster, Value, eventually};
use services::prometheus::Prometheus;
use services::redis::Redis;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Two nodes that have something to count, and a Prometheus that has seen them count.
async fn watched() -> (Cluster, Redis, Prometheus) {
    let redis = Redis::start().await.expect("redis starts");
    let cluster = Cluster::two_over(&redis, |config| config.admin.address = "127.0.0.1:0".into()).await;
    let targets: Vec<_> = [0, 1].iter().filter_map(|place| cluster.node(*place).admin_address()).collect();
    let prometheus = Prometheus::start(&targets, &root().join("conf/prometheus/alerts.yml")).await.expect("it starts");
    let (mut ann, bob) = cluster.friends_on(0, 1).await;
    let sent = std::cell::Cell::new(0);
    eventually(BUDGET, "Prometheus has seen what the nodes count", async || {
        sent.set(sent.get() + 1);
        ann.tell(bob.id, &format!("message {}", sent.get())).await;
        let rate = "sum(rate(chat_messages_total[10s])) > 0 and sum(up) == 2";
        prometheus.query(rate).await.ok().filter(|series| !series.is_empty())
    })
    .await;
    (cluster, redis, prometheus)
}

/// Every expression of the dashboard, with what Grafana puts in the place of its variables.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(expression) = fields.get("expr").and_then(Value::as_str) {
                let plain = expression.replace("$__rate_interval", "10s").replace("$instance", ".*");
                assert!(!plain.contains('$'), "a variable that this test does not know: {plain}");
                found.push(plain);
            }
            fields.values().for_each(|value| expressions(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

/// The names of series in an expression.
fn names(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with("chat_")).map(str::to_owned).collect()
}

#[tokio::test]
async fn dashboard_asks_for_nothing_that_nodes_do_not_have() {
    let (_cluster, _redis, prometheus) = watched().await;
    let dashboard: Value = serde_json::from_str(&read("conf/grafana/dashboard.json")).expect("JSON");
    let mut asked = Vec::new();
    expressions(&dashboard["panels"], &mut asked);
    assert!(asked.len() > 30, "{asked:?}");

    for expression in asked {
        let series = prometheus.query(&expression).await.unwrap_or_else(|error| panic!("{error:#}"));
        assert!(!series.is_empty(), "a panel stays empty: {expression}");
    }
}

#[tokio::test]
async fn every_alert_asks_for_what_there_is_and_none_fires_in_a_quiet_cluster() {
    let (_cluster, _redis, prometheus) = watched().await;
    let rules = eventually(BUDGET, "all rules have been evaluated", async || {
        let rules = prometheus.rules().await.ok()?;
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    })
    .await;
    assert!(rules.len() > 10, "{rules:?}");

    for rule in &rules {
        let (name, query) = (rule["name"].as_str().expect("a name"), rule["query"].as_str().expect("a query"));
        assert_eq!((&rule["health"], &rule["state"]), (&"ok".into(), &"inactive".into()), "{name}: {rule}");
        for series in names(query) {
            let found = prometheus.query(&series).await.unwrap_or_else(|error| panic!("{error:#}"));
            assert!(!found.is_empty(), "{name} asks for {series}, which there is not");
        }
    }
}

#[test]
fn alerts_fire_for_what_they_are_there_for() {
    let directory = root().join("conf/prometheus");
    for arguments in [["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yml"]] {
        let output = Command::new("promtool").args(arguments).current_dir(&directory).output();
        let output = output.expect("promtool: apt-get install prometheus");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn runbook_has_a_paragraph_for_every_alert_and_for_no_other() {
    let alerts = read("conf/prometheus/alerts.yml");
    let alerts: BTreeSet<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let runbook = read("docs/runbook.md");
    let told: BTreeSet<_> =
        runbook.lines().filter_map(|line| line.strip_prefix("## Chat").map(|_| &line[3..])).collect();

    assert_eq!(told, alerts);
    for alert in alerts {
        let link = format!("runbook: docs/runbook.md#{}", alert.to_lowercase());
        assert!(read("conf/prometheus/alerts.yml").contains(&link), "{alert} does not lead to its paragraph");
    }
}
