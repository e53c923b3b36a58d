//! How many instructions of our program are executed, as valgrind's callgrind counts them.
//!
//! Each hot path runs in a process of its own, this program started again, and only what [`counted_rounds`] calls is
//! counted, in its own thread: neither the start of a node nor its other threads. What the C library does, which is
//! another one on each machine and chooses by its processor, is left out: copying, and giving out memory.

use crate::{ROUNDS, hot_paths};
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Its profile as text, in the form of <https://valgrind.org/docs/manual/cl-format.html>, written to standard output.
const VALGRIND: [&str; 6] = [
    "-q",
    "--tool=callgrind",
    "--toggle-collect=counted_rounds",
    "--compress-strings=no",
    "--compress-pos=no",
    "--callgrind-out-file=/dev/stdout",
];

/// In all of the rounds of a hot path.
pub fn of(name: &str) -> Result<u64> {
    let program = std::env::current_exe()?;
    let output = Command::new("valgrind")
        .args(VALGRIND)
        .arg(&program)
        .args(["instructions", name])
        .output()
        .context("cannot run valgrind, which counts instructions; ci/packages installs it")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "under valgrind {name:?} ended with {}:\n{errors}", output.status);
    let instructions = own(&String::from_utf8_lossy(&output.stdout), &program.display().to_string())?;
    ensure!(instructions > 0, "valgrind has not seen the rounds of {name:?}:\n{errors}");
    Ok(instructions)
}

/// The instructions of one object of a profile.
fn own(profile: &str, object: &str) -> Result<u64> {
    let (mut sum, mut is_own, mut is_call) = (0, false, false);
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            is_own = name == object;
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            // The line behind `calls=` has what was executed inside the call; that stands with who was called.
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
            let cost = cost.with_context(|| format!("callgrind tells no cost: {line:?}"))?;
            sum += if is_own && !is_call { cost } else { 0 };
        }
        is_call = line.starts_with("calls=");
    }
    Ok(sum)
}

/// What runs under valgrind.
pub fn run_counted(name: &str) -> Result<()> {
    hot_paths::run(name, &mut counted_rounds)
}

// Valgrind finds it by this name.
#[unsafe(no_mangle)]
#[inline(never)]
fn counted_rounds(operation: &mut dyn FnMut()) {
    (0..ROUNDS).for_each(|_| operation());
}

/// The version of the compiler that is used here, and the machine it makes instructions for.
pub fn compiler() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("cannot run rustc")?;
    let version = String::from_utf8_lossy(&output.stdout);
    let version = version.split_whitespace().nth(1).context("rustc does not say its version")?;
    Ok(format!("{version} for {}", std::env::consts::ARCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_elsewhere_is_not_counted() {
        let profile = "events: Ir\nsummary: 127\n\nob=/bin/counts\nfl=a.rs\nfn=encode\n72 20\ncob=/lib/libc.so.6\n\
                       cfn=memcpy\ncalls=2 0 \n73 100\n74 7\n\nob=/lib/libc.so.6\nfn=memcpy\n0 100\n\ntotals: 127\n";
        assert_eq!(own(profile, "/bin/counts").expect("it is well formed"), 27);
        assert_eq!(own(profile, "/lib/libc.so.6").expect("it is well formed"), 100);
    }

    #[test]
    fn line_without_a_cost_is_refused() {
        let refused = own("ob=/bin/counts\nfn=encode\n72\n", "/bin/counts").expect_err("it tells no cost");
        assert_eq!(refused.to_string(), "callgrind tells no cost: \"72\"");
    }
}
