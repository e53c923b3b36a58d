//! What all ways of a message share.

use super::errands::Errands;
use super::members::Members;
use super::repair_call::RepairCall;
use super::routes::Routes;
use crate::bus::Bus;
use crate::cluster::NodeKey;
use crate::membership::lease::Lease;
use crate::membership::peers::Peers;
use crate::session::catch_up::CatchUp;
use crate::session::log_ends::LogEnds;
use crate::session::registry::Registry;
use crate::storage::Storage;
use crate::telemetry::metrics::Metrics;
use chat_environment::Environment;
use std::sync::Arc;

pub struct Delivery {
    pub key: NodeKey,
    pub environment: Environment,
    pub storage: Arc<dyn Storage>,
    pub bus: Arc<dyn Bus>,
    pub peers: Arc<Peers>,
    pub lease: Arc<Lease>,
    pub registry: Arc<Registry>,
    pub members: Members,
    pub routes: Routes,
    pub log_ends: Arc<LogEnds>,
    pub catch_up: CatchUp,
    pub repair: RepairCall,
    pub errands: Errands,
    pub metrics: Arc<Metrics>,
}
