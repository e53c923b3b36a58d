//! Puts the parts of a node together.

use super::Error;
use super::start::patiently;
use crate::auth::buckets::Buckets;
use crate::auth::login_limit::LoginLimit;
use crate::auth::operators::Operators;
use crate::auth::origin::{KEPT_ORIGINS, REGISTRATIONS_WINDOW};
use crate::auth::password::PasswordHasher;
use crate::auth::token::TokenKey;
use crate::bus::Bus;
use crate::cluster::{NodeId, NodeKey};
use crate::config::{Config, Current};
use crate::context::Context;
use crate::delivery::Delivery;
use crate::delivery::commit::Writers;
use crate::delivery::errands::Errands;
use crate::delivery::member_changes::MemberChanges;
use crate::delivery::members::Members;
use crate::delivery::relay::Relays;
use crate::delivery::repair_call::RepairCall;
use crate::delivery::routes::Routes;
use crate::membership::lease::Lease;
use crate::membership::peers::Peers;
use crate::membership::tidy::{Asked, Tidier};
use crate::session::catch_up::{self, CatchUp};
use crate::session::claims::Claims;
use crate::session::ending::Endings;
use crate::session::log_ends::LogEnds;
use crate::session::login_reads::LoginReads;
use crate::session::registry::Registry;
use crate::shutdown::Shutdown;
use crate::storage::Storage;
use crate::telemetry::metrics::Metrics;
use chat_environment::Environment;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// What there is before the node has its lease.
pub struct Foundations {
    pub config: Config,
    pub tls: Option<TlsAcceptor>,
    pub operators: Operators,
    pub key: NodeKey,
    pub environment: Environment,
    pub storage: Arc<dyn Storage>,
    pub bus: Arc<dyn Bus>,
    pub shutdown: Shutdown,
}

/// Renews the lease for the first time, and starts all that waits for something to do. Returns also how often sessions
/// have been taken from the node so far.
pub async fn assemble(foundations: Foundations) -> Result<(Arc<Context>, u64), Error> {
    let Foundations { config, tls, operators, key, environment, storage, bus, shutdown } = foundations;
    let lease = Arc::new(Lease::default());
    let renewing = || {
        let (sent, renewal) = (Instant::now(), storage.renew_lease(&key, false));
        async move { Ok((sent, renewal.await?)) }
    };
    let (sent, renewal) = patiently(renewing).await?;
    lease.renewed(sent);
    let peers: Vec<NodeId> = renewal.live.into_iter().map(|peer| peer.key.id).filter(|id| *id != key.id).collect();

    let token_key = TokenKey(patiently(|| storage.token_key()).await?);
    let metrics = Arc::new(Metrics::new(bus.clone()).with_database(storage.clone()));
    let panics = metrics.task_panics_total.clone();
    environment.tasks.on_panic(move || {
        panics.inc();
    });
    let delivery = make_delivery(&key, &environment, &storage, &bus, &lease, &metrics);
    delivery.members.pulse.set_peers(&peers, Instant::now());
    delivery.peers.set(peers);
    let writers = Arc::new(Writers::start(&delivery, storage.writers(config.database.writers)));
    let tasks = environment.tasks.clone();
    let claims = Claims::start(&tasks, storage.clone(), key.clone());
    let login_reads = Arc::new(LoginReads::start(&tasks, &storage, &key, &config.database));
    let (registry, peers) = (delivery.registry.clone(), delivery.peers.clone());
    let context = Context {
        passwords: PasswordHasher::new(&config.password)?.within(environment.clone()),
        token_key,
        login_limit: LoginLimit::new(&config.limits),
        registrations: Buckets::new(config.limits.registrations_per_hour_per_ip, REGISTRATIONS_WINDOW, KEPT_ORIGINS),
        operators,
        endings: Arc::new(Endings {
            registry: registry.clone(),
            claims: claims.clone(),
            reads: login_reads.clone(),
            peers: peers.clone(),
            metrics: metrics.clone(),
            tasks,
            yielded: Default::default(),
        }),
        claims,
        login_reads,
        registry,
        cursor_saver: Default::default(),
        paces: Default::default(),
        relays: Arc::new(Relays::start(&delivery, &writers)),
        member_changes: Arc::new(MemberChanges::new(delivery.clone(), shutdown.clone())),
        tidier: Arc::new(Tidier {
            environment: environment.clone(),
            storage: storage.clone(),
            lease: lease.clone(),
            peers: peers.clone(),
            asked: Asked::default(),
        }),
        writers,
        delivery,
        lease,
        watch: Arc::default(),
        peers,
        database_answers: Arc::new(AtomicBool::new(true)),
        key,
        config: Current::new(config),
        tls: Current::new(tls),
        environment,
        storage,
        bus,
        metrics,
        shutdown,
    };
    Ok((Arc::new(context), renewal.takeovers))
}

fn make_delivery(
    key: &NodeKey,
    environment: &Environment,
    storage: &Arc<dyn Storage>,
    bus: &Arc<dyn Bus>,
    lease: &Arc<Lease>,
    metrics: &Arc<Metrics>,
) -> Arc<Delivery> {
    let log_ends = Arc::new(LogEnds::default());
    let (catch_up, work) = CatchUp::new();
    let parts = catch_up::Parts {
        storage: storage.clone(),
        lease: lease.clone(),
        log_ends: log_ends.clone(),
        metrics: metrics.clone(),
    };
    catch_up.start(&environment.tasks, work, parts);
    Arc::new(Delivery {
        key: key.clone(),
        environment: environment.clone(),
        storage: storage.clone(),
        bus: bus.clone(),
        peers: Arc::new(Peers::new(bus.clone())),
        lease: lease.clone(),
        registry: Arc::new(Registry::new(lease.clone(), catch_up.clone())),
        members: Members::new(storage.clone()),
        routes: Routes::new(storage.clone()),
        log_ends,
        catch_up,
        repair: RepairCall::default(),
        errands: Errands::new(environment.tasks.clone()),
        metrics: metrics.clone(),
    })
}
