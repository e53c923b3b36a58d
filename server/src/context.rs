//! The parts of one node, as its requests and connections use them. They are put together in [`node`](crate::node);
//! what they do is in the files they are named after.

use crate::auth::buckets::Buckets;
use crate::auth::login_limit::LoginLimit;
use crate::auth::operators::Operators;
use crate::auth::origin::Origin;
use crate::auth::password::PasswordHasher;
use crate::auth::token::TokenKey;
use crate::bus::Bus;
use crate::cluster::NodeKey;
use crate::config::{Config, Current};
use crate::delivery::Delivery;
use crate::delivery::commit::Writers;
use crate::delivery::member_changes::MemberChanges;
use crate::delivery::relay::Relays;
use crate::membership::lease::Lease;
use crate::membership::peers::Peers;
use crate::membership::tidy::Tidier;
use crate::membership::watch::Watch;
use crate::session::claims::Claims;
use crate::session::cursor_saver::CursorSaver;
use crate::session::ending::Endings;
use crate::session::login_reads::LoginReads;
use crate::session::pace::Paces;
use crate::session::registry::Registry;
use crate::shutdown::Shutdown;
use crate::storage::Storage;
use crate::telemetry::metrics::Metrics;
use chat_environment::Environment;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio_rustls::TlsAcceptor;

pub struct Context {
    pub key: NodeKey,
    pub config: Current<Config>,
    pub tls: Current<Option<TlsAcceptor>>,
    pub environment: Environment,
    pub storage: Arc<dyn Storage>,
    pub bus: Arc<dyn Bus>,

    pub passwords: PasswordHasher,
    pub token_key: TokenKey,
    pub login_limit: LoginLimit,
    pub registrations: Buckets<Origin>,
    pub operators: Operators,

    pub registry: Arc<Registry>,
    pub claims: Claims,
    pub login_reads: Arc<LoginReads>,
    pub endings: Arc<Endings>,
    pub cursor_saver: CursorSaver,
    pub paces: Paces,

    pub delivery: Arc<Delivery>,
    pub writers: Arc<Writers>,
    pub relays: Arc<Relays>,
    pub member_changes: Arc<MemberChanges>,

    pub lease: Arc<Lease>,
    /// Which other nodes live.
    pub watch: Arc<Watch>,
    pub peers: Arc<Peers>,
    pub tidier: Arc<Tidier>,

    pub metrics: Arc<Metrics>,
    pub shutdown: Shutdown,
    /// Whether the latest renewal of the lease got an answer: part of readiness.
    pub database_answers: Arc<AtomicBool>,
}
