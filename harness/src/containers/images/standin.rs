//! The stand-ins for official images: what `ci/images/build` makes of Debian packages.

use super::Part;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// What the script would call the image, which it has or has not built.
pub(super) async fn tag(part: Part) -> Result<String> {
    let script = script();
    let output = Command::new(&script).args(["--tag", part.name()]).output().await;
    let output = output.with_context(|| format!("cannot run {}", script.display()))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Builds it, which takes about half a minute; another process that wants the same waits for it. Progress goes to
/// stderr.
pub(super) async fn build(part: Part) -> Result<()> {
    let script = script();
    let status = Command::new(&script).arg(part.name()).stdin(Stdio::null()).stdout(Stdio::null()).status().await;
    let status = status.with_context(|| format!("cannot run {}", script.display()))?;
    ensure!(status.success(), "ci/images/build {part} fails: what it said stands above");
    Ok(())
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/images/build")
}
