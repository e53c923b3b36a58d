//! Promise under test: whatever once failed stays mended. Fault: the schedules that showed it, made small, each named
//! after what holds now.

use sim::{Failure, Lived, Schedule, Workers};
use std::path::{Path, PathBuf};

#[tokio::test]
async fn what_once_failed_is_valid_now() {
    let workers = Workers::of(env!("CARGO_BIN_EXE_sim").into());
    let mut failed = Vec::new();
    let files = files();
    assert!(!files.is_empty(), "the corpus is empty");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file of ours");
        let schedule: Schedule =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let lived = workers.live(&schedule, false).await.expect("a worker");
        if let Some(failure) = Failure::of(&lived) {
            failed.push(format!("{} {failure}\n  harness sim --replay {0}", file.display()));
        } else if !matches!(&lived, Lived::Told(report) if report.deliveries > 0) {
            failed.push(format!("{} proves nothing: nothing is said that is owed to anybody", file.display()));
        }
    }
    assert!(failed.is_empty(), "does not hold any more:\n{}", failed.join("\n"));
}

/// All of them, by name.
fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let entries = std::fs::read_dir(directory).expect("the corpus");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    files
}
