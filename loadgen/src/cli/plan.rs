//! The flags of a plan, which every command that carries one out has.

use crate::plan::{Arrivals, DialectName, Driver, NodesAs, Plan};
use crate::scenario::Kind;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The flags of the plan; what is not given comes from the plan file, or is the default.
#[derive(Clone, Debug, Default, Args)]
pub struct PlanFlags {
    /// A plan (TOML) with any of what the flags below say; flags win
    #[arg(value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// A node or load balancer; repeat for several [default: an embedded cluster]
    #[arg(long, value_name = "HOST:PORT")]
    target: Vec<String>,
    /// Wire protocol [default: framed, or what the profile says]
    #[arg(long, value_enum)]
    dialect: Option<DialectName>,
    /// A file that describes a classic server, or the name of a shipped one: course, course_to, logout_last,
    /// logout_last_to, register_second, register_second_to, camel, camel_logout_last, checked; `loadgen probe` finds
    /// which
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
    /// Who sends in the open model; goose (with the cargo feature goose) brings its dashboard, thresholds, baselines
    /// and reports [default: native]
    #[arg(long, value_enum)]
    driver: Option<Driver>,
    /// A flag for goose itself, as --goose=--dashboard, --goose=--report-file=goose.html,
    /// --goose=--baseline-file=goose.json or --goose='--threshold=p99<50ms for CHAT cross'; repeat for several; implies
    /// --driver goose
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
    /// Where they run: on threads of this process, or all in one process of their own [default: threads up to 8000
    /// users]
    #[arg(long, value_enum, value_name = "WHERE")]
    nodes_as: Option<NodesAs>,
    /// Keep the history of all messages, the result and a distribution of each path's latencies in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

fn parse_share(text: &str) -> Result<(Kind, f64), String> {
    let (name, share) = text.split_once('=').unwrap_or((text, "1"));
    let kind = Kind::from_str(&name.replace('-', "_"), true)?;
    let share: f64 = share.parse().map_err(|_| format!("{share:?} is not a number"))?;
    Ok((kind, share))
}

/// Finds what cannot be carried out before anything is started.
pub fn check(plan: &Plan) -> Result<()> {
    plan.validate()?;
    if plan.accounts.is_some() && plan.targets.is_empty() {
        bail!("--accounts needs --target: an embedded cluster begins without any");
    }
    check_driver(plan)
}

#[cfg(feature = "goose")]
fn check_driver(plan: &Plan) -> Result<()> {
    if plan.driver == Driver::Goose {
        crate::driver::goose::check_flags(&plan.goose)?;
    }
    Ok(())
}

#[cfg(not(feature = "goose"))]
fn check_driver(plan: &Plan) -> Result<()> {
    match plan.driver {
        Driver::Native => Ok(()),
        Driver::Goose => bail!(
            "this loadgen was built without goose; use: cargo run --release -p loadgen --features goose -- run \
             --driver goose"
        ),
    }
}

impl PlanFlags {
    /// The plan that file and flags make together.
    pub fn plan(&self) -> Result<Plan> {
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
        plan.nodes_as = given.nodes_as.or(plan.nodes_as);
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
