//! Promise: what conf/ starts, the command line takes.

use clap::Parser as _;
use std::path::Path;

/// The flow sequence behind a key, in which all is quoted, with the defaults of variables.
fn arguments(file: &str, key: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/loadgen").join(file);
    let text = std::fs::read_to_string(&path).expect("it is there");
    let (_, rest) = text.split_once(&format!("{key}: [\"run\"")).expect("it has arguments");
    let (rest, _) = rest.split_once(']').expect("they end");
    let all: Vec<String> = serde_json::from_str(&format!("[\"run\"{rest}]")).expect("quoted words");
    all.into_iter().map(|word| default_of(&word).unwrap_or(word)).collect()
}

/// Of `${NAME:-default}`.
fn default_of(word: &str) -> Option<String> {
    Some(word.strip_prefix("${")?.strip_suffix('}')?.split_once(":-")?.1.to_owned())
}

#[test]
fn a_container_that_is_stopped_hears_what_ctrl_c_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/loadgen/Dockerfile");
    let text = std::fs::read_to_string(path).expect("it is there");
    assert!(text.lines().any(|line| line == "STOPSIGNAL SIGINT"), "{text}");
}

#[test]
fn containers_are_started_with_flags_that_there_are() {
    for (file, key, replicas) in [("compose.yaml", "command", "replicas: 3"), ("job.yaml", "args", "completions: 3")] {
        let arguments = arguments(file, key);
        let parsed =
            loadgen::cli::Arguments::try_parse_from(std::iter::once("loadgen".to_owned()).chain(arguments.clone()));
        assert!(parsed.is_ok(), "{file}: {}", parsed.expect_err("it is none"));
        let shards = arguments.iter().position(|word| word == "--shards").expect("how many there are");
        assert_eq!(arguments[shards + 1], "3", "{file}");
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/loadgen").join(file));
        assert!(text.expect("it is there").contains(replicas), "{file}: as many as --shards says");
    }
}
