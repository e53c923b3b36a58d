//! Where the programs under test are.
//!
//! It lies beside the test executable, in the same profile's directory. `cargo test --workspace` has built it by the
//! time a test runs; where only the harness is tested, it is built here.

use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::SystemTime;

/// What goes into a node, from the root of the workspace.
const SOURCES: &[&str] =
    &["server/src", "server/environment", "server/protocol", "server/Cargo.toml", "Cargo.lock", "chat.sql"];
/// What the simulator is made of besides.
const SIMULATOR: &[&str] =
    &["server/client/src", "harness/judge/src", "harness/sim/src", "harness/sim/Cargo.toml", "Cargo.toml"];

/// Which program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Program {
    #[default]
    Server,
    /// With the failpoints that seed faults.
    WithFailpoints,
    /// The simulator's worker.
    Simulator,
    /// The same with those failpoints.
    SimulatorWithFailpoints,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Server => "chat-server",
            Program::WithFailpoints => "chat-server-failpoints",
            Program::Simulator => "sim",
            Program::SimulatorWithFailpoints => "sim-failpoints",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Program::Server | Program::WithFailpoints => "chat",
            Program::Simulator | Program::SimulatorWithFailpoints => "sim",
        }
    }

    /// The profile that it is always built with, if any.
    fn profile(self) -> Option<&'static str> {
        (self.package() == "sim").then_some("simulator")
    }

    fn sources(self) -> impl Iterator<Item = &'static str> {
        let others: &[&str] = if self.package() == "sim" { SIMULATOR } else { &[] };
        SOURCES.iter().chain(others).copied()
    }

    fn features(self) -> &'static [&'static str] {
        match self {
            Program::Server | Program::Simulator => &[],
            Program::WithFailpoints | Program::SimulatorWithFailpoints => &["--features", "failpoints"],
        }
    }
}

/// Where the program is, built from the sources as they are now.
pub fn built(program: Program) -> Result<PathBuf> {
    static FOUND: Mutex<Vec<(Program, Result<PathBuf, String>)>> = Mutex::new(Vec::new());
    let mut all = FOUND.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let known = all.iter().find(|(known, _)| *known == program).map(|(_, found)| found.clone());
    let found = known.unwrap_or_else(|| {
        let found = find(program).map_err(|error| format!("{error:#}"));
        all.push((program, found.clone()));
        found
    });
    found.map_err(anyhow::Error::msg)
}

fn find(wanted: Program) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    // Test executables are in `deps`, other ones (and benches) may not be.
    let directory = test.parent().context("the test executable has no directory")?;
    let ours = if directory.ends_with("deps") { directory.parent().context("no profile")? } else { directory };
    let profile = wanted.profile().map_or_else(|| ours.to_owned(), |name| ours.with_file_name(name));
    let name = wanted.name();
    let program = profile.join(name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the harness is in a workspace")?;
    if !is_fresh(&program, wanted, root)? {
        build(wanted, root, &profile)?;
    }
    ensure!(program.exists(), "{} is missing: cargo build -p {} --bin {name}", program.display(), wanted.package());
    Ok(program)
}

fn is_fresh(program: &Path, wanted: Program, root: &Path) -> Result<bool> {
    let Ok(metadata) = fs::metadata(program) else { return Ok(false) };
    let built = metadata.modified()?;
    for source in wanted.sources() {
        if newest(&root.join(source))? > built {
            return Ok(false);
        }
    }
    Ok(true)
}

fn newest(path: &Path) -> Result<SystemTime> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    let mut newest = metadata.modified()?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            newest = newest.max(self::newest(&entry?.path())?);
        }
    }
    Ok(newest)
}

/// What cargo tells a test of its package. Build scripts of others (ring's) read it too, and whatever depends on them
/// would be built anew.
const OF_THE_TEST: &[&str] = &["CARGO_MANIFEST_", "CARGO_PKG_"];

/// Several test processes may come here at once: cargo's own lock has them take turns.
fn build(wanted: Program, root: &Path, profile: &Path) -> Result<()> {
    let name = wanted.name();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(&cargo);
    command
        .current_dir(root)
        .args(["build", "--quiet", "--locked", "-p", wanted.package(), "--bin", name])
        .args(wanted.features());
    match wanted.profile() {
        Some(name) => _ = command.args(["--profile", name]),
        None if profile.ends_with("release") => _ = command.arg("--release"),
        None => {}
    }
    if let Some(target) = profile.parent() {
        command.arg("--target-dir").arg(target);
    }
    for (name, _) in std::env::vars_os() {
        if OF_THE_TEST.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    eprintln!("harness: building {name}");
    let output = command.output().with_context(|| format!("cannot run {}", cargo.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo build -p {} --bin {name} fails:\n{said}", wanted.package());
    Ok(())
}
