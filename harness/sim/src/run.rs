//! Lives through a schedule, in one thread and in virtual time, and returns what happened.

use crate::bus::Wires;
use crate::cluster::{Cluster, World};
use crate::counters::Listener;
use crate::coverage::{Reached, name_of_fault};
use crate::database::{Database, SharedEngine};
use crate::environment::Process;
use crate::keys;
use crate::network::Network;
use crate::person::{Circle, Person};
use crate::record::Record;
use crate::schedule::{Breaking, Fault, Schedule};
use crate::trace::{Digest, Trace};
use crate::troubles::Troubles;
use anyhow::{Context, Result, ensure};
use chat::storage;
use chat::storage::verify::{Finding, verify_all};
use chat_environment::Environment;
use judge::history::{Entry, Event};
use judge::{Guarantee, Judgement, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Promises that no simulation puts to the test: nobody asks in it what these are judged by.
pub const NOT_JUDGED: &[Guarantee] = &[Guarantee::Presence, Guarantee::LogBegins];

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
    /// What it got to.
    pub reached: Reached,
    pub digest: Digest,
    /// The trace as text, where it was asked for.
    pub trace: Vec<String>,
    /// How much time passed within.
    pub length: Duration,
}

impl Outcome {
    /// Deliveries that were judged.
    pub fn deliveries(&self) -> u64 {
        self.judgement.of(Guarantee::DeliveredOnce).judged
    }

    /// A schedule in which no delivery was owed counts as valid: other schedules make up for it.
    pub fn verdict(&self) -> Verdict {
        let is_open = self.judgement.findings.iter().any(|finding| finding.open > 0);
        match self.judgement.verdict() {
            _ if !self.problems.is_empty() => Verdict::Invalid,
            Verdict::Unknown if !is_open => Verdict::Valid,
            verdict => verdict,
        }
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
        let _guard = runtime.enter();
        let trace = Arc::new(Trace::start(keeps_trace));
        tracing::subscriber::with_default(Listener(trace.clone()), || runtime.block_on(live(schedule, trace)))
    })
}

async fn live(schedule: &Schedule, trace: Arc<Trace>) -> Result<Outcome> {
    let (seed, begun) = (schedule.seed, Instant::now());
    let record = Record::begin(trace.clone());
    let troubles = Troubles::new(seed, trace.clone());
    let network = Network::new(seed, trace.clone(), troubles.clone());
    let database = Database::open(seed, trace.clone(), troubles.clone())?;
    let buses = (0..schedule.buses).map(|bus| Wires::new(bus, seed, trace.clone(), troubles.clone()));
    let buses: Vec<Arc<Wires>> = buses.collect();
    let world = World {
        seed,
        begun,
        trace: trace.clone(),
        troubles: troubles.clone(),
        network: network.clone(),
        database: database.clone(),
        buses: buses.clone(),
    };
    let cluster = Cluster::new(world, schedule.nodes);
    ensure!(cluster.be_up(RECOVERY).await, "the nodes do not start: {:?}", cluster.problems());
    database.keep_removed()?;
    let (mut people, circle) = gather(schedule, begun, &network, &record).await?;

    let breaker = Breaker {
        trace: trace.clone(),
        troubles,
        cluster,
        network,
        database: database.clone(),
        buses,
        record: record.clone(),
    };
    let mut faults = JoinSet::new();
    for (number, fault) in schedule.faults.iter().cloned().enumerate() {
        let is_lossy = schedule.loses(&fault);
        faults.spawn(breaker.clone().break_and_heal(begun, number, fault, is_lossy));
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

    let cluster = breaker.cluster;
    let mut problems = settle(&cluster, &record, people).await;
    cluster.count_all();
    problems.extend(cluster.problems());
    problems.extend(damage(&database).await?);
    record.rows(database.messages()?, database.removed()?);
    let (entries, digest, reached) = (record.entries(), trace.digest(), trace.take_reached());
    let (judgement, length) = (judge::check(&entries), begun.elapsed());
    Ok(Outcome { entries, judgement, problems, reached, digest, trace: trace.take_lines(), length })
}

/// What is not in the database as it must be.
async fn damage(database: &Arc<Database>) -> Result<Vec<String>> {
    // All faults have healed: it is the same from every node.
    let engine = Box::new(SharedEngine { database: database.clone(), node: 0 });
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
    let mut circle = Circle { users: Vec::new(), group: 0, club: 0 };
    for number in 0..schedule.users {
        let process = Process::start(schedule.seed, &format!("user-{number}"), begun, Box::new(|| 0));
        let person = Person::register(number, process, network.clone(), &addresses, record.clone()).await;
        let person = person.context("cannot register")?;
        let groups = (number > 0).then_some((circle.group, circle.club));
        (circle.group, circle.club) = person.meet(&circle.users, groups).await.context("cannot meet the others")?;
        circle.users.push(person.id);
        people.push(person);
    }
    record.group(circle.group, circle.users.clone());
    if let (Some(founder), Some(first)) = (people.first_mut(), circle.users.first()) {
        founder.founds_club();
        record.group(circle.club, vec![*first]);
    }
    for (number, person) in people.iter_mut().enumerate() {
        person.speaks(schedule.dialect(number));
        person.log_in_at(number % schedule.nodes).await.context("cannot log in")?;
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
    trace: Arc<Trace>,
    troubles: Arc<Troubles>,
    cluster: Arc<Cluster>,
    network: Arc<Network>,
    database: Arc<Database>,
    buses: Vec<Arc<Wires>>,
    record: Arc<Record>,
}

impl Breaker {
    /// `is_lossy`: a failover loses what it would.
    async fn break_and_heal(self, begun: Instant, number: usize, fault: Fault, is_lossy: bool) {
        sleep_until(begun + fault.at()).await;
        let what = fault.what.in_words();
        self.record.note(Event::Fault { what: what.clone(), healed: false });
        self.troubles.begin(number, &fault);
        if self.strike(&fault.what, is_lossy) {
            self.trace.reach(name_of_fault(fault.what.name()));
        }
        match fault.what {
            Breaking::Failover => self.fail_over(Duration::ZERO, fault.length()).await,
            Breaking::LossyFailover { lost_ms } => {
                let behind = if is_lossy { Duration::from_millis(lost_ms) } else { Duration::ZERO };
                self.fail_over(behind, fault.length()).await;
            }
            _ => sleep(fault.length()).await,
        }
        self.troubles.end(number);
        self.heal(&fault.what).await;
        self.record.note(Event::Fault { what, healed: true });
    }

    /// What happens at once; whether it struck anything. All else strikes whoever meets it.
    fn strike(&self, what: &Breaking, is_lossy: bool) -> bool {
        match *what {
            Breaking::Crash { node } => self.cluster.crash(node),
            Breaking::Pause { node } => self.cluster.pause(node),
            Breaking::Drain { node } => self.cluster.drain(node),
            Breaking::Reset { user } => self.network.reset(user),
            Breaking::HalfOpen { user } => self.network.lose(user),
            // It is used all the time.
            Breaking::Failover => true,
            Breaking::LossyFailover { .. } => is_lossy,
            Breaking::CutBus => self.cut(Wires::cut),
            Breaking::OneBusCut { bus } => self.cut(|wires| wires.cut_one(bus)),
            // Whether it matters shows where something is sent.
            Breaking::NoBus => {
                self.cut(Wires::cut);
                false
            }
            Breaking::OneBusGone { bus } => {
                self.cut(|wires| wires.cut_one(bus));
                false
            }
            _ => false,
        }
    }

    async fn fail_over(&self, behind: Duration, length: Duration) {
        let outage = length.saturating_sub(behind);
        self.database.fail_over(behind, outage, |loss| self.record.lost(loss)).await;
    }

    /// Breaks subscriptions; whether there were any.
    fn cut(&self, cut: impl Fn(&Wires) -> bool) -> bool {
        self.buses.iter().fold(false, |any, wires| cut(wires) | any)
    }

    async fn heal(&self, what: &Breaking) {
        match *what {
            Breaking::Crash { node } | Breaking::Drain { node } => self.cluster.start_again(node).await,
            Breaking::Pause { node } => self.cluster.resume(node),
            _ => {}
        }
    }
}
