//! Lives through a schedule, in one thread and in virtual time, and returns what happened.

use crate::bus::{Badness, Wires};
use crate::cluster::{Cluster, World};
use crate::database::{Database, SharedEngine};
use crate::environment::Process;
use crate::keys;
use crate::network::Network;
use crate::person::{Circle, Person};
use crate::record::Record;
use crate::schedule::{Breaking, Fault, Schedule};
use crate::trace::{Digest, Trace};
use anyhow::{Context, Result, ensure};
use chat::storage;
use chat::storage::verify::{Finding, verify_all};
use chat_environment::Environment;
use judge::history::{Entry, Event};
use judge::{Judgement, Told, Verdict};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// For everything to come back once all faults have healed: a lease, a start that waits one out, reconnects.
const RECOVERY: Duration = Duration::from_secs(60);
/// What is still on its way then has this long to be where it must not be.
const AFTERMATH: Duration = Duration::from_secs(3);

/// What came of a schedule.
pub struct Outcome {
    pub entries: Vec<Entry>,
    pub judgement: Judgement,
    /// What is wrong beside the history: a node that died by itself, somebody who could not log in.
    pub problems: Vec<String>,
    pub digest: Digest,
    /// The trace as text, where it was asked for.
    pub trace: Vec<String>,
    /// How much time passed within.
    pub length: Duration,
}

impl Outcome {
    pub fn verdict(&self) -> Verdict {
        if self.problems.is_empty() { self.judgement.verdict() } else { Verdict::Invalid }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problems.iter().try_for_each(|problem| writeln!(f, "{problem}"))?;
        write!(f, "{}", Told { judgement: &self.judgement, entries: &self.entries })
    }
}

/// Lives through a schedule. `keeps_trace`: as text, too. That it goes the same way each time holds for the first that
/// a process lives through.
///
/// # Errors
/// If it cannot begin: before the first fault, everything must work.
pub fn run(schedule: &Schedule, keeps_trace: bool) -> Result<Outcome> {
    keys::with_seed(schedule.seed, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        runtime.block_on(live(schedule, keeps_trace))
    })
}

async fn live(schedule: &Schedule, keeps_trace: bool) -> Result<Outcome> {
    let (seed, begun) = (schedule.seed, Instant::now());
    let trace = Arc::new(Trace::start(keeps_trace));
    let record = Record::begin(trace.clone());
    let network = Network::new(seed, trace.clone());
    let database = Database::open(seed, trace.clone())?;
    let wires = Wires::new(seed, trace.clone());
    let world = World {
        seed,
        begun,
        trace: trace.clone(),
        network: network.clone(),
        database: database.clone(),
        wires: wires.clone(),
    };
    let cluster = Cluster::new(world, schedule.nodes);
    ensure!(cluster.be_up(RECOVERY).await, "the nodes do not start: {:?}", cluster.problems());
    database.keep_removed()?;
    let (mut people, circle) = gather(schedule, begun, &network, &record).await?;

    let breaker = Breaker { cluster, network, database, wires, record: record.clone() };
    let mut faults = JoinSet::new();
    for fault in schedule.faults.clone() {
        faults.spawn(breaker.clone().break_and_heal(begun, fault));
    }
    let mut lives = JoinSet::new();
    for (number, mut person) in people.drain(..).enumerate() {
        let steps = schedule.steps.iter().filter(|step| step.user == number).cloned().collect();
        let circle = circle.clone();
        lives.spawn(async move {
            person.live(begun, steps, &circle).await;
            person
        });
    }
    let people = lives.join_all().await;
    faults.join_all().await;

    let Breaker { cluster, database, .. } = breaker;
    let mut problems = settle(&cluster, &record, people).await;
    problems.extend(cluster.problems());
    problems.extend(damage(&database).await?);
    record.rows(database.messages()?);
    let (entries, digest) = (record.entries(), trace.digest());
    let (judgement, length) = (judge::check(&entries), begun.elapsed());
    Ok(Outcome { entries, judgement, problems, digest, trace: trace.take_lines(), length })
}

/// What is not in the database as it must be.
async fn damage(database: &Arc<Database>) -> Result<Vec<String>> {
    let engine = Box::new(SharedEngine(database.clone()));
    let storage = storage::open_on(engine, RECOVERY, &Environment::default()).await?;
    let mut damage = Vec::new();
    let told = |finding: Finding| damage.extend(finding.wrong.is_damage().then(|| format!("{finding:?}")));
    verify_all(&*storage, false, told).await?;
    Ok(damage)
}

/// Everybody is registered, friends with everybody, in one group, and logged in.
async fn gather(
    schedule: &Schedule,
    begun: Instant,
    network: &Arc<Network>,
    record: &Arc<Record>,
) -> Result<(Vec<Person>, Circle)> {
    let addresses: Vec<String> = (0..schedule.nodes).map(Cluster::address).collect();
    let mut people: Vec<Person> = Vec::new();
    let mut circle = Circle { users: Vec::new(), group: 0 };
    for number in 0..schedule.users {
        let name = format!("user-{number}");
        let process = Process::start(schedule.seed, &name, begun, 0);
        let person = Person::register(name, process, network.clone(), &addresses, record.clone()).await;
        let person = person.context("cannot register")?;
        let group = (number > 0).then_some(circle.group);
        circle.group = person.meet(&circle.users, group).await.context("cannot meet the others")?;
        circle.users.push(person.id);
        people.push(person);
    }
    record.group(circle.group, circle.users.clone());
    for (number, person) in people.iter_mut().enumerate() {
        person.log_in(number % schedule.nodes, false).await.context("cannot log in")?;
    }
    Ok((people, circle))
}

/// All is healed: everybody comes back and gets everything. What is wrong with that.
async fn settle(cluster: &Arc<Cluster>, record: &Arc<Record>, people: Vec<Person>) -> Vec<String> {
    let mut problems = Vec::new();
    if !cluster.be_up(RECOVERY).await {
        problems.push("not all nodes are up again".to_owned());
    }
    let mut coming = JoinSet::new();
    for mut person in people {
        coming.spawn(async move {
            let is_there = person.be_online(RECOVERY).await;
            (is_there, person)
        });
    }
    let people = coming.join_all().await;
    problems.extend(
        people.iter().filter(|(is_there, _)| !is_there).map(|(_, person)| format!("user {} cannot log in", person.id)),
    );
    let (is_over, mut staying) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for (_, mut person) in people {
        let is_over = is_over.clone();
        staying.spawn(async move {
            person.stay_online(&is_over).await;
            person
        });
    }
    if !record.everything_arrives(RECOVERY).await {
        problems.push("messages are still on their way".to_owned());
    }
    sleep(AFTERMATH).await;
    record.drained();
    is_over.store(true, Ordering::Relaxed);
    staying.join_all().await;
    problems
}

/// Breaks and heals things.
#[derive(Clone)]
struct Breaker {
    cluster: Arc<Cluster>,
    network: Arc<Network>,
    database: Arc<Database>,
    wires: Arc<Wires>,
    record: Arc<Record>,
}

impl Breaker {
    async fn break_and_heal(self, begun: Instant, fault: Fault) {
        sleep_until(begun + fault.at()).await;
        let what = format!("{:?}", fault.what);
        self.record.note(Event::Fault { what: what.clone(), healed: false });
        self.break_it(&fault);
        sleep(fault.length()).await;
        self.heal(&fault).await;
        self.record.note(Event::Fault { what, healed: true });
    }

    fn break_it(&self, fault: &Fault) {
        match fault.what {
            Breaking::Crash { node } => self.cluster.crash(node),
            Breaking::Pause { node } => self.cluster.pause(node),
            Breaking::Drain { node } => self.cluster.drain(node),
            Breaking::Bus { badness } => self.wires.set_badness(badness),
            Breaking::CutBus => self.wires.cut(),
            Breaking::Commits { before, after } => self.database.fail_commits(before, after),
            Breaking::Stall => self.database.stall(fault.length()),
            Breaking::Reset { user } => self.network.reset(&format!("user-{user}")),
            Breaking::Silence { user } => self.network.silence(&format!("user-{user}"), fault.length()),
        }
    }

    async fn heal(&self, fault: &Fault) {
        match fault.what {
            Breaking::Crash { node } | Breaking::Drain { node } => self.cluster.start_again(node).await,
            Breaking::Pause { node } => self.cluster.resume(node),
            Breaking::Bus { .. } => self.wires.set_badness(Badness::default()),
            Breaking::Commits { .. } => self.database.fail_commits(0, 0),
            Breaking::CutBus | Breaking::Stall | Breaking::Reset { .. } | Breaking::Silence { .. } => {}
        }
    }
}
