//! Where a story's result goes beside the terminal.

use anyhow::{Context, Result};
use clap::Args;
use harness::report;
use harness::users::Conclusion;
use std::path::{Path, PathBuf};

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
    /// `about` says what was told. A story that came to no end has no page.
    pub fn write(&self, told: &Result<Conclusion>, about: &str, command: &str) -> Result<()> {
        let conclusion = match told {
            Ok(conclusion) => conclusion,
            Err(error) => {
                return self.junit.as_ref().map_or(Ok(()), |path| write(path, report::junit_without_end(error, about)));
            }
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

fn write(path: &Path, text: String) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
