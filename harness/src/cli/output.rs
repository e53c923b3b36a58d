//! Where a story's result goes beside the terminal.

use anyhow::{Context, Result};
use clap::Args;
use harness::report;
use harness::users::Conclusion;
use std::path::PathBuf;

#[derive(Args, Default)]
pub struct Outputs {
    /// Write a page with plots: throughput, latency and loss, with the faults shaded
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write JUnit XML: each promise is a test
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl Outputs {
    /// `about` says what was told.
    pub fn write(&self, conclusion: &Conclusion, about: &str, command: &str) -> Result<()> {
        let write = |path: &PathBuf, text: String| {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        if let Some(path) = &self.html {
            write(path, report::html(conclusion, about, command))?;
            eprintln!("harness: report: {}", path.display());
        }
        if let Some(path) = &self.junit {
            write(path, report::junit(conclusion, about))?;
        }
        Ok(())
    }
}
