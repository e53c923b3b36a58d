//! Promise: results go to standard output and to the files asked for, failures are told with their figure, and the exit
//! code says what came of it.

use judge::Verdict;
use loadgen::measure::{Latencies, LatencyKind, Outcome, Point, Second};
use loadgen::plan::Plan;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
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
    for name in [
        "loadgen.1",
        "loadgen-run.1",
        "loadgen-find-capacity.1",
        "loadgen-sweep.1",
        "loadgen.bash",
        "_loadgen",
        "loadgen.fish",
    ] {
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
    for command in ["run", "probe", "find-capacity", "sweep", "compare", "merge", "report", "check"] {
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

/// A short run that is over soon on any machine.
const SHORT: [&str; 10] =
    ["--users", "10", "--rate", "100", "--duration", "1", "--ramp", "0.1", "--mix", "friend_chat"];

#[test]
fn a_plan_can_come_through_a_pipe() {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("result.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(["run", "/dev/stdin", "--quiet", "--json"]).arg(&json).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut run = command.spawn().expect("loadgen starts");
    let mut plan = run.stdin.take().expect("standard input is piped");
    plan.write_all(b"users = 6\nrate = 50.0\nduration_s = 0.5\nramp_s = 0.1\n").expect("written");
    drop(plan);
    assert!(run.wait().expect("loadgen ends").success());
    assert_eq!(Outcome::load(&json).expect("a result").plan.users, 6);
}

#[test]
fn a_sweep_has_a_curve_of_each_subject_and_says_where_its_knee_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let [page, json] = ["sweep.html", "sweep.json"].map(|name| directory.path().join(name));
    let cluster = loadgen::cluster::Cluster::start(2).expect("a cluster");
    let other = format!("other={}", cluster.targets().join(","));
    let range = ["--from", "20", "--to", "80", "--steps", "3", "--probe", "1", "--assert", "lost == 0"];
    let files = ["--html", page.to_str().expect("a name"), "--json", json.to_str().expect("a name")];
    let swept = loadgen(&[&["sweep", "--quiet", "--against", &other], &SHORT[..], &range, &files].concat());
    let shown = text(&swept.stdout);
    // A machine that has no time for the generator has no knee, even at these rates.
    let has_knees = !shown.contains("no rate passed");
    assert_eq!(swept.status.code(), Some(if has_knees { 0 } else { 1 }), "{shown}{}", text(&swept.stderr));
    for part in ["embedded: ", "other: "] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let page = std::fs::read_to_string(page).expect("written");
    assert!(page.matches("<svg").count() == 1 && page.contains("other: carried"));
    let sweep: serde_json::Value = serde_json::from_slice(&std::fs::read(json).expect("written")).expect("JSON");
    assert!(sweep["curves"][1]["probes"].as_array().map(Vec::len) >= Some(2));

    let failed = loadgen(&[&["sweep", "--quiet"], &SHORT[..], &range[..8], &["--assert", "p50(any) < 1us"]].concat());
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    let shown = text(&failed.stdout);
    assert!(shown.contains("no rate passed") && shown.matches("failed,").count() == 2, "{shown}");
}

#[test]
fn a_sweep_that_makes_no_sense_is_not_begun() {
    for (arguments, why) in [
        (&["--window", "3"][..], "--window has none"),
        (&["--from", "9", "--to", "3"], "no lower"),
        (&["--steps", "0"], "1 to 100 steps"),
        (&["--junit", "a.xml"], "no JUnit"),
        (&["--against", "a"], "no subject"),
    ] {
        let refused = loadgen(&[&["sweep"], arguments].concat());
        assert_eq!(refused.status.code(), Some(3), "{arguments:?}");
        assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
}

#[test]
fn a_baseline_is_kept_under_its_name_and_compared_with() {
    let directory = tempfile::tempdir().expect("a directory");
    let [kept, summary] = ["kept", "summary.md"].map(|name| directory.path().join(name));
    let (baselines, markdown) = (kept.to_str().expect("a name"), summary.to_str().expect("a name"));
    let run = |flags: &[&str]| loadgen(&[&["run", "--quiet", "--baselines", baselines], &SHORT[..], flags].concat());

    let missing = run(&["--baseline", "main"]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(text(&missing.stderr).contains("no baseline \"main\" in"), "{}", text(&missing.stderr));

    let saved = run(&["--save-baseline", "main"]);
    assert_eq!(saved.status.code(), Some(0), "{}", text(&saved.stderr));
    assert!(text(&saved.stderr).contains("baseline main: 3 rounds kept in"), "{}", text(&saved.stderr));
    assert!(text(&saved.stdout).contains("the one in the middle by p99"), "{}", text(&saved.stdout));
    let rounds: Vec<Outcome> =
        (1..=3).map(|round| Outcome::load(&kept.join(format!("main/round-00{round}.json"))).expect("kept")).collect();
    assert_eq!(rounds.iter().map(|round| round.plan.seed).collect::<Vec<_>>(), [1, 2, 3]);

    let compared = run(&["--baseline", "main", "--markdown", markdown]);
    assert_eq!(compared.status.code(), Some(0), "{}", text(&compared.stderr));
    let shown = text(&compared.stdout);
    assert!(shown.contains("against baseline main (3 rounds of ") && shown.contains("run to run"), "{shown}");
    let summary = std::fs::read_to_string(summary).expect("written");
    assert!(summary.starts_with("**Against baseline main (3 rounds of ") && summary.contains("**valid**"), "{summary}");

    // The same rounds, as if everything had been a thousand times as fast.
    for (place, round) in rounds.iter().enumerate() {
        let mut faster = round.clone();
        for latencies in faster.latencies.values_mut() {
            let mut quick = Latencies::default();
            latencies.values().for_each(|(micros, count)| (0..count).for_each(|_| quick.record(micros / 1_000)));
            *latencies = quick;
        }
        std::fs::write(kept.join(format!("main/round-00{}.json", place + 1)), loadgen::report::json(&faster))
            .expect("written");
    }
    let worse = run(&["--baseline", "main", "--fail-over", "200%"]);
    assert_eq!(worse.status.code(), Some(1), "{}", text(&worse.stdout));
    assert!(text(&worse.stderr).contains("is worse than --fail-over allows"), "{}", text(&worse.stderr));
    assert!(text(&worse.stdout).contains("worse: "), "{}", text(&worse.stdout));
}
