//! Promise: results go to standard output and to the files asked for, failures are told with their figure, and the exit
//! code says what came of it.

use judge::Verdict;
use loadgen::measure::{Latencies, LatencyKind, Outcome, Point, Second};
use loadgen::plan::Plan;
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

fn loadgen(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.env_remove("NO_COLOR").args(arguments).output().expect("loadgen runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Stores a result whose latencies on the way to another node are about `micros`.
fn store(directory: &TempDir, name: &str, micros: u64) -> PathBuf {
    let mut outcome = Outcome::failed(Plan::default(), String::new());
    let mut cross = Latencies::default();
    outcome.measured_s = 20.0;
    outcome.logins = 400;
    outcome.online = (400, 400);
    outcome.seconds = (0..20)
        .map(|second| {
            let p99 = micros + second % 5;
            (0..1_000).for_each(|_| cross.record(p99));
            let point = Point { count: 1_000, p50: p99, p99, max: p99 };
            Second {
                at_ms: second * 1_000,
                length_ms: 1_000,
                latencies: [(LatencyKind::Cross, point)].into(),
                sent: 1_000,
                delivered: 1_000,
            }
        })
        .collect();
    outcome.latencies.insert(LatencyKind::Cross, cross);
    let account = &mut outcome.account;
    (account.sent, account.acknowledged, account.expected, account.delivered) = (20_000, 20_000, 20_000, 20_000);
    outcome.judge();
    assert_eq!(outcome.verdict, Verdict::Valid);
    let path = directory.path().join(name);
    std::fs::write(&path, loadgen::report::json(&outcome)).expect("written");
    path
}

#[test]
fn generate_writes_a_man_page_for_each_command_and_completions() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = loadgen(&["--generate", directory.path().to_str().expect("a name")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for name in ["loadgen.1", "loadgen-run.1", "loadgen-find-capacity.1", "loadgen.bash", "_loadgen", "loadgen.fish"] {
        assert!(directory.path().join(name).exists(), "{name} is missing");
    }
    assert!(!directory.path().join("loadgen-nodes.1").exists(), "a page for what is not shown");
}

#[test]
fn a_failed_assertion_is_printed_with_its_figure_and_exits_with_1() {
    let directory = tempfile::tempdir().expect("a directory");
    let result = store(&directory, "a.json", 2_000);
    let junit = directory.path().join("junit.xml");
    let asserting = |assertion: &str| {
        let (result, junit) = (result.to_str().expect("a name"), junit.to_str().expect("a name"));
        loadgen(&["report", result, "--assert", "lost == 0", "--assert", assertion, "--junit", junit])
    };

    let held = asserting("p99(cross) < 50ms");
    assert_eq!(held.status.code(), Some(0), "{}", text(&held.stderr));
    let failed = asserting("p99(cross) < 1ms");
    assert_eq!(failed.status.code(), Some(1));
    let shown = text(&failed.stdout);
    assert!(shown.contains("assertion failed: p99(cross) < 1ms (it is 2.00"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colour where there is no terminal");
    let xml = std::fs::read_to_string(&junit).expect("written");
    assert!(xml.contains("failures=\"1\""), "{xml}");

    let slip = asserting("p99(cros) < 1ms");
    assert_eq!(slip.status.code(), Some(3), "wrong flags are not the verdict unknown");
    assert!(text(&slip.stderr).contains("no path \"cros\""), "{}", text(&slip.stderr));
}

#[test]
fn every_form_of_a_result_can_be_had() {
    let directory = tempfile::tempdir().expect("a directory");
    let result = store(&directory, "a.json", 2_000);
    let result = result.to_str().expect("a name");
    for (format, beginning) in
        [("table", "embedded"), ("json", "{"), ("csv", "metric,count"), ("markdown", "**valid**")]
    {
        let shown = loadgen(&["report", result, "--format", format]);
        assert!(
            shown.status.success() && text(&shown.stdout).starts_with(beginning),
            "{format}: {}",
            text(&shown.stdout)
        );
        assert!(shown.stderr.is_empty(), "{}", text(&shown.stderr));
    }
    let page = directory.path().join("page.html");
    assert!(loadgen(&["report", result, "--html", page.to_str().expect("a name")]).status.success());
    assert!(std::fs::read_to_string(&page).expect("written").contains("<svg"));
}

#[test]
fn a_comparison_fails_over_the_limit_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let (fast, slow) = (store(&directory, "a.json", 2_000), store(&directory, "b.json", 3_000));
    let (fast, slow) = (fast.to_str().expect("a name"), slow.to_str().expect("a name"));
    let failed = loadgen(&["compare", fast, slow, "--fail-over", "10%"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stderr).contains("p99(cross) got worse by more than 10 %"), "{}", text(&failed.stderr));
    assert!(text(&failed.stdout).contains("worse"));
    for arguments in [
        &["compare", fast, slow][..],
        &["compare", fast, slow, "--fail-over", "60"],
        &["compare", slow, fast, "--fail-over", "1%"],
    ] {
        assert_eq!(loadgen(arguments).status.code(), Some(0), "{arguments:?}");
    }
    let shown = loadgen(&["compare", fast, slow, "--format", "json"]);
    let rows: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(rows["rows"][3]["metric"], "p99(cross)");
}

#[test]
fn a_directory_of_runs_is_one_side() {
    let directories = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    for (directory, micros) in directories.iter().zip([2_000, 2_900]) {
        (0..3).for_each(|run| drop(store(directory, &format!("{run}.json"), micros + run)));
    }
    let [before, after] = directories.each_ref().map(|directory| directory.path().to_str().expect("a name"));
    let compared = loadgen(&["compare", before, after, "--fail-over", "10"]);
    assert_eq!(compared.status.code(), Some(1));
    let shown = text(&compared.stdout);
    assert!(
        shown.contains("run to run")
            && shown.lines().any(|line| line.starts_with("max(cross)") && line.ends_with("worse")),
        "{shown}"
    );
}

#[test]
fn what_cannot_be_read_is_told_with_its_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing.json");
    let broken = directory.path().join("broken.json");
    std::fs::write(&broken, "{").expect("written");
    for path in [&missing, &broken] {
        let name = path.to_str().expect("a name");
        for arguments in [&["report", name][..], &["merge", name], &["compare", name, name]] {
            let shown = loadgen(arguments);
            assert_eq!(shown.status.code(), Some(3), "{arguments:?}");
            assert!(text(&shown.stderr).contains(name), "{}", text(&shown.stderr));
        }
    }
}

#[test]
fn the_capacity_of_an_embedded_cluster_is_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let page = directory.path().join("capacity.html");
    // What is asserted holds on any machine at these rates, so the search ends at its upper end.
    let found = loadgen(&[
        "find-capacity",
        "--quiet",
        "--users",
        "20",
        "--ramp",
        "0.2",
        "--from",
        "20",
        "--to",
        "40",
        "--probe",
        "1",
        "--duration",
        "1",
        "--confirm",
        "1",
        "--mix",
        "friend_chat",
        "--assert",
        "lost == 0",
        "--format",
        "csv",
        "--html",
        page.to_str().expect("a name"),
    ]);
    let shown = text(&found.stdout);
    assert!(
        shown.starts_with("rate_per_s,purpose,passed") && shown.lines().count() >= 4,
        "{shown}{}",
        text(&found.stderr)
    );
    assert!(std::fs::read_to_string(&page).expect("written").contains("<circle"));
    let refused = loadgen(&["find-capacity", "--window", "3"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("--window has none"));
}

#[test]
fn help_says_effect_unit_and_default() {
    for command in ["run", "probe", "find-capacity", "compare", "merge", "report", "check"] {
        insta::assert_snapshot!(format!("help_{command}"), text(&loadgen(&[command, "--help"]).stdout));
    }
    insta::assert_snapshot!("help", text(&loadgen(&["--help"]).stdout));
}

#[cfg(not(feature = "goose"))]
#[test]
fn without_goose_it_says_how_to_have_it() {
    let refused = loadgen(&["run", "--driver", "goose"]);
    assert_eq!(refused.status.code(), Some(3));
    let shown = text(&refused.stderr);
    assert!(shown.contains("cargo run --release -p loadgen --features goose --"), "{shown}");
}

#[test]
fn what_is_kept_is_history_result_and_distributions() {
    let directory = tempfile::tempdir().expect("a directory");
    let kept = directory.path().join("kept");
    let name = kept.to_str().expect("a name");
    let plan = ["--users", "10", "--rate", "50", "--duration", "1", "--ramp", "0.1", "--mix", "friend_chat"];
    let run = loadgen(&[&["run", "--quiet", "--keep", name][..], &plan].concat());
    assert_eq!(run.status.code(), Some(0), "{}{}", text(&run.stdout), text(&run.stderr));
    let outcome = Outcome::load(&kept.join("result.json")).expect("a result");
    assert!(!outcome.latencies.is_empty() && kept.join("history.jsonl.zst").is_file());
    for path in outcome.latencies.keys() {
        assert!(kept.join(format!("{path}.hgrm")).is_file(), "{path}");
    }
}
