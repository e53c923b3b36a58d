//! Where runs take place: the runtime, the embedded cluster if there is no target, progress, and Ctrl-C.

use super::progress::{Bar, Lines};
use crate::cluster::process::Process;
use crate::cluster::{self, Cluster, Nodes};
use crate::measure::Outcome;
use crate::plan::{NodesAs, Plan};
use crate::run::{self, Progress, Silent, Steering};
use anyhow::{Context, Result, bail};
use judge::Verdict;
use std::io::IsTerminal;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code after a second Ctrl-C: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

/// Whom the load is for.
enum Subject {
    Elsewhere(Vec<String>),
    Threads(Cluster),
    Process(Process),
}

impl Subject {
    /// Starts an embedded cluster, if the plan names no target.
    fn open(plan: &Plan) -> Result<Subject> {
        if !plan.targets.is_empty() {
            return Ok(Subject::Elsewhere(plan.targets.clone()));
        }
        match cluster::place(plan) {
            NodesAs::Threads => {
                run::raise_limit(plan.users, &Nodes::Threads)?;
                Ok(Subject::Threads(Cluster::start(plan.nodes)?))
            }
            NodesAs::Process => {
                // A child has the limit that its parent has then.
                run::raise_limit(plan.users, &Nodes::Elsewhere)?;
                Ok(Subject::Process(Process::start(plan.nodes)?))
            }
        }
    }

    fn targets(&self) -> Vec<String> {
        match self {
            Subject::Elsewhere(targets) => targets.clone(),
            Subject::Threads(cluster) => cluster.targets(),
            Subject::Process(process) => process.targets(),
        }
    }

    fn nodes(&self) -> Nodes {
        match self {
            Subject::Elsewhere(_) => Nodes::Elsewhere,
            Subject::Threads(_) => Nodes::Threads,
            Subject::Process(process) => process.nodes(),
        }
    }

    /// How the nodes ended, if they have a process and it has.
    fn death(&self) -> Option<String> {
        if let Subject::Process(process) = self { process.death() } else { None }
    }
}

/// Takes one run after another.
pub struct Stage {
    subject: Subject,
    runtime: Runtime,
    progress: Arc<dyn Progress>,
    steering: Steering,
}

impl Stage {
    /// Starts what the plan needs: with no targets, an embedded cluster.
    pub fn open(plan: &Plan, quiet: bool) -> Result<Stage> {
        Stage::open_steered(plan, quiet, Steering::default(), |progress| progress)
    }

    /// The same for a run that somebody steers; `beside` adds who else hears how it goes.
    pub fn open_steered(
        plan: &Plan,
        quiet: bool,
        steering: Steering,
        beside: impl FnOnce(Arc<dyn Progress>) -> Arc<dyn Progress>,
    ) -> Result<Stage> {
        let progress: Arc<dyn Progress> = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Arc::new(Silent),
            (false, true) => Arc::new(Bar::default()),
            (false, false) => Arc::new(Lines::default()),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("loadgen")
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let progress = beside(progress);
        let interrupt = steering.interrupt().clone();
        let signals = runtime.block_on(async { signal(SignalKind::interrupt()) }).context("cannot watch for Ctrl-C")?;
        runtime.spawn(interrupts(signals, interrupt.clone()));
        let subject = Subject::open(plan)?;
        if let Subject::Threads(cluster) = &subject {
            steering.own(cluster.switch().clone());
        }
        if let Nodes::Process { ended, .. } = subject.nodes() {
            let interrupt = interrupt.clone();
            runtime.spawn(async move {
                ended.cancelled().await;
                interrupt.cancel();
            });
        }
        Ok(Stage { subject, runtime, progress, steering })
    }

    /// Carries out a plan; its targets are those of the plan that the stage was opened for.
    pub fn run(&self, plan: Plan) -> Result<Outcome> {
        if let Some(death) = self.subject.death() {
            bail!(death);
        }
        if let Some(directory) = &plan.keep {
            std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let (targets, nodes) = (self.subject.targets(), self.subject.nodes());
        let run = run::execute(plan, &targets, nodes, self.progress.as_ref(), self.steering.clone());
        let outcome = self.runtime.block_on(run);
        self.progress.finish();
        let mut outcome = outcome?;
        if let Some(death) = self.subject.death() {
            outcome.verdict = Verdict::Invalid;
            outcome.reasons.insert(0, death);
        }
        Ok(outcome)
    }

    /// Whether somebody pressed Ctrl-C.
    pub fn is_interrupted(&self) -> bool {
        self.steering.interrupt().is_cancelled()
    }

    /// Ends everything without waiting for what is still under way.
    pub fn close(self) {
        self.runtime.shutdown_background();
    }
}

/// The first Ctrl-C ends the measured time, the second everything.
async fn interrupts(mut signals: Signal, interrupt: CancellationToken) {
    if signals.recv().await.is_some() {
        interrupt.cancel();
    }
    if signals.recv().await.is_some() {
        std::process::exit(INTERRUPTED);
    }
}
