//! Promise: a full disk is said in one message, with how much is free and needed where, and what to do.
//! Fault: the place where images are unpacked is too small, before building or in the midst of it.
//!
//! It takes root: a small file system is mounted, in a namespace that ends with the build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of `ci/images` whose image of Redis is not built yet.
fn recipes(directory: &Path) -> PathBuf {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/images");
    for name in ["build", "redis.recipe"] {
        fs::copy(original.join(name), directory.join(name)).expect("it can be copied");
    }
    let recipe = directory.join("redis.recipe");
    let text = fs::read_to_string(&recipe).expect("it is there");
    fs::write(&recipe, text + "# another one\n").expect("it is ours");
    directory.join("build")
}

/// What a build says that unpacks into four megabytes.
fn said_in_four_megabytes(build: &Path) -> String {
    let small = build.with_file_name("small");
    fs::create_dir(&small).expect("the directory is ours");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t tmpfs -o size=4m tmpfs \"$TMPDIR\" && exec \"$0\" redis"]);
    let output = command.arg(build).env("TMPDIR", &small).output().expect("unshare is there");
    assert!(!output.status.success(), "it was built");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn check(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[test]
fn too_little_room_is_said_before_anything_is_built() {
    let directory = tempfile::tempdir().expect("a directory");
    let said = said_in_four_megabytes(&recipes(directory.path()));
    check(&said, &["too little room", "4 MiB are free and 1024 needed in", "TMPDIR names another place"]);
    assert!(!said.contains("downloading"), "{said}");
}

#[test]
fn full_disk_is_told_from_other_failures() {
    let directory = tempfile::tempdir().expect("a directory");
    let build = recipes(directory.path());
    let script = fs::read_to_string(&build).expect("it is there");
    let unsuspecting = script.replace("unpacked_mib=1024", "unpacked_mib=0");
    assert_ne!(script, unsuspecting);
    fs::write(&build, unsuspecting).expect("it is ours");

    let said = said_in_four_megabytes(&build);

    check(
        &said,
        &["the disk is full: make room", "4 MiB are free in", "TMPDIR names another place", "docker system df"],
    );
}
