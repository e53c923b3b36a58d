//! `loadgen run`, and `loadgen` alone: carries out a plan and says what came of it.

use crate::assert::Assertion;
use crate::cluster::Cluster;
use crate::outcome::Outcome;
use crate::plan::{Arrivals, DialectName, Driver, Plan};
use crate::progress::{Bar, Progress, Silent};
use crate::report::{self, Format};
use crate::run;
use crate::scenario::Kind;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The exit code after a second Ctrl-C: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

/// The flags; what is not given comes from the plan file, or is the default.
#[derive(Clone, Debug, Default, Args)]
pub struct Arguments {
    /// A plan (TOML) with any of what the flags below say; flags win
    #[arg(value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// A node or load balancer; repeat for several [default: an embedded cluster]
    #[arg(long, value_name = "HOST:PORT")]
    target: Vec<String>,
    /// Wire protocol [default: framed, or what the profile says]
    #[arg(long, value_enum)]
    dialect: Option<DialectName>,
    /// A file that describes a classic server, or the name of a shipped one: course, logout_last, register_second, checked
    #[arg(long, value_name = "FILE|NAME")]
    profile: Option<String>,
    /// Simulated users [default: 400]
    #[arg(long)]
    users: Option<u32>,
    /// Messages per second in all: open model, latency from when each was due [default: 1000]
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "window")]
    rate: Option<f64>,
    /// How due times follow one another [default: poisson]
    #[arg(long, value_enum)]
    arrivals: Option<Arrivals>,
    /// Who sends in the open model; goose brings its dashboard, thresholds, baselines and reports [default: native]
    #[arg(long, value_enum)]
    driver: Option<Driver>,
    /// A flag for goose itself, as --goose=--dashboard; repeat for several; implies --driver goose
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true, conflicts_with = "window")]
    goose: Vec<String>,
    /// Messages outstanding per stream: closed model, as fast as the server answers
    #[arg(long)]
    window: Option<u32>,
    /// Messages on their way per stream to a server that acknowledges nothing [default: as the profile says]
    #[arg(long, value_name = "MESSAGES", conflicts_with = "window")]
    outstanding: Option<u32>,
    /// How long such a message may take before the next goes without it, in seconds [default: 5]
    #[arg(long, value_name = "SECONDS")]
    lost_after: Option<f64>,
    /// Measured time in seconds [default: 20]
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// Time over which users log in, in seconds [default: 2]
    #[arg(long, value_name = "SECONDS")]
    ramp: Option<f64>,
    /// The longest wait for what is still on its way, in seconds [default: 25]
    #[arg(long, value_name = "SECONDS")]
    drain: Option<f64>,
    /// A scenario and its share of users and messages, as friend_chat=60; repeat for a mix
    #[arg(long, value_name = "SCENARIO[=SHARE]", value_parser = parse_share)]
    mix: Vec<(Kind, f64)>,
    /// 1: stored and acknowledged; 0: relayed [default: 1]
    #[arg(long)]
    qos: Option<u8>,
    /// Bytes of text in a message, 64 at least [default: 64]
    #[arg(long, value_name = "BYTES")]
    body: Option<usize>,
    /// Chooses all that is left to chance [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Members of a group [default: 10]
    #[arg(long, value_name = "USERS")]
    group_size: Option<u32>,
    /// Members of a group who also write [default: 2]
    #[arg(long, value_name = "USERS")]
    group_senders: Option<u32>,
    /// How long users of `offline` are away, and between two storms, in seconds [default: 3]
    #[arg(long, value_name = "SECONDS")]
    away: Option<f64>,
    /// Connect by TLS, trusting any certificate unless --tls-ca is given
    #[arg(long)]
    tls: bool,
    /// PEM file of the authorities to trust; implies --tls
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Where accounts and their tokens are kept between runs
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Names of the accounts begin with this [default: lg]
    #[arg(long)]
    prefix: Option<String>,
    /// Nodes of the embedded cluster [default: 2]
    #[arg(long)]
    nodes: Option<u32>,
    /// Keep the history of all messages in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// What goes to standard output [default: table]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Exit with 1 unless this holds of the result, as 'p99(cross) < 50ms' or 'lost == 0'; repeatable
    #[arg(long = "assert", value_name = "ASSERTION")]
    assertions: Vec<Assertion>,
    /// Write assertions and promises as JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Also write the whole result, as JSON, to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// No progress on standard error
    #[arg(long)]
    quiet: bool,
}

fn parse_share(text: &str) -> Result<(Kind, f64), String> {
    let (name, share) = text.split_once('=').unwrap_or((text, "1"));
    let kind = Kind::from_str(&name.replace('-', "_"), true)?;
    let share: f64 = share.parse().map_err(|_| format!("{share:?} is not a number"))?;
    Ok((kind, share))
}

/// Runs, prints, and answers with the verdict.
pub fn execute(arguments: Arguments) -> Result<ExitCode> {
    let plan = arguments.plan()?;
    plan.validate()?;
    check_driver(&plan)?;
    if let Some(directory) = &plan.keep {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let mut outcome = carry_out(plan, arguments.quiet)?;
    outcome.assert(&arguments.assertions);
    if let Some(path) = &arguments.json {
        std::fs::write(path, report::json(&outcome)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &arguments.junit {
        std::fs::write(path, report::junit(&outcome)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match arguments.format.unwrap_or_default() {
        Format::Table => print!("{}", report::table(&outcome)),
        Format::Json => print!("{}", report::json(&outcome)),
        Format::Csv => print!("{}", report::csv(&outcome)),
        Format::Markdown => print!("{}", report::markdown(&outcome)),
    }
    Ok(ExitCode::from(outcome.exit_code()))
}

#[cfg(feature = "goose")]
fn check_driver(plan: &Plan) -> Result<()> {
    if plan.driver == Driver::Goose && plan.window.is_none() {
        crate::driver::goose::check_flags(&plan.goose)?;
    }
    Ok(())
}

#[cfg(not(feature = "goose"))]
fn check_driver(plan: &Plan) -> Result<()> {
    match plan.driver {
        Driver::Native => Ok(()),
        Driver::Goose => anyhow::bail!("this loadgen was built without the feature goose"),
    }
}

fn carry_out(plan: Plan, quiet: bool) -> Result<Outcome> {
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
    let outcome = runtime.block_on(async {
        let interrupt = CancellationToken::new();
        tokio::spawn(interrupts(interrupt.clone()));
        run::execute(plan, &targets, embedded, progress.as_ref(), interrupt).await
    });
    runtime.shutdown_background();
    progress.finish();
    Ok(outcome?)
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

impl Arguments {
    fn plan(&self) -> Result<Plan> {
        let mut plan = match &self.plan {
            Some(path) => Plan::load(path)?,
            None => Plan::default(),
        };
        let given = self.clone();
        if !given.target.is_empty() {
            plan.targets = given.target;
        }
        if !given.mix.is_empty() {
            plan.mix = given.mix.into_iter().collect();
        }
        set(&mut plan.dialect, given.dialect);
        set(&mut plan.users, given.users);
        set(&mut plan.lost_after_s, given.lost_after);
        plan.outstanding = given.outstanding.or(plan.outstanding);
        plan.profile = given.profile.or(plan.profile);
        set(&mut plan.rate, given.rate);
        set(&mut plan.arrivals, given.arrivals);
        set(&mut plan.driver, given.driver);
        if !given.goose.is_empty() {
            plan.driver = Driver::Goose;
            plan.goose = given.goose;
        }
        set(&mut plan.duration_s, given.duration);
        set(&mut plan.ramp_s, given.ramp);
        set(&mut plan.drain_s, given.drain);
        set(&mut plan.qos, given.qos);
        set(&mut plan.body, given.body);
        set(&mut plan.seed, given.seed);
        set(&mut plan.group_size, given.group_size);
        set(&mut plan.group_senders, given.group_senders);
        set(&mut plan.away_s, given.away);
        set(&mut plan.prefix, given.prefix);
        set(&mut plan.nodes, given.nodes);
        plan.window = given.window.or(if given.rate.is_some() { None } else { plan.window });
        plan.accounts = given.accounts.or(plan.accounts);
        plan.keep = given.keep.or(plan.keep);
        plan.tls |= given.tls || given.tls_ca.is_some();
        plan.tls_ca = given.tls_ca.or(plan.tls_ca);
        Ok(plan)
    }
}

fn set<T>(setting: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *setting = given;
    }
}
