//! Where runs take place: the runtime, the embedded cluster if there is no target, progress, and Ctrl-C.

use crate::cluster::Cluster;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::progress::{Bar, Progress, Silent};
use crate::run;
use anyhow::{Context, Result};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// The exit code after a second Ctrl-C: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

/// Takes one run after another.
pub struct Stage {
    cluster: Option<Cluster>,
    targets: Vec<String>,
    runtime: Runtime,
    progress: Arc<dyn Progress>,
    interrupt: CancellationToken,
}

impl Stage {
    /// Starts what the plan needs: with no targets, an embedded cluster.
    pub fn open(plan: &Plan, quiet: bool) -> Result<Stage> {
        let progress: Arc<dyn Progress> = if quiet { Arc::new(Silent) } else { Arc::new(Bar::default()) };
        let embedded = plan.targets.is_empty();
        if embedded {
            crate::files::raise_limit(plan.users, true)?;
        }
        let cluster = if embedded { Some(Cluster::start(plan.nodes)?) } else { None };
        let targets = cluster.as_ref().map_or_else(|| plan.targets.clone(), Cluster::targets);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("loadgen")
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let interrupt = CancellationToken::new();
        runtime.spawn(interrupts(interrupt.clone()));
        Ok(Stage { cluster, targets, runtime, progress, interrupt })
    }

    /// Carries out a plan; its targets are those of the plan that the stage was opened for.
    pub fn run(&self, plan: Plan) -> Result<Outcome> {
        if let Some(directory) = &plan.keep {
            std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let embedded = self.cluster.is_some();
        let run = run::execute(plan, &self.targets, embedded, self.progress.as_ref(), self.interrupt.clone());
        let outcome = self.runtime.block_on(run);
        self.progress.finish();
        Ok(outcome?)
    }

    /// Whether somebody pressed Ctrl-C.
    pub fn is_interrupted(&self) -> bool {
        self.interrupt.is_cancelled()
    }

    /// Ends everything without waiting for what is still under way.
    pub fn close(self) {
        self.runtime.shutdown_background();
    }
}

/// The first Ctrl-C ends the measured time, the second everything.
async fn interrupts(interrupt: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    interrupt.cancel();
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(INTERRUPTED);
    }
}
