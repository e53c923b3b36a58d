//! The tasks that run beside the connections.

use super::tenants::NodeTenants;
use crate::admin::port;
use crate::bus::Arrival;
use crate::context::Context;
use crate::delivery::bus_receiver::BusReceiver;
use crate::delivery::repair;
use crate::membership::lease_keeper;
use crate::retention::{Counter, Retention, Shortener};
use crate::storage::{self, AgeMs};
use chat_environment::Died;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often a node looks what it may forget of strangers.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

pub struct Background {
    pub lease_keeper: JoinHandle<Result<Result<(), storage::Error>, Died>>,
    pub others: Vec<JoinHandle<Result<(), Died>>>,
}

impl Background {
    /// Starts them; `takeovers` is what the node's first renewal said.
    pub fn start(
        context: &Arc<Context>,
        takeovers: u64,
        arrivals: mpsc::Receiver<Arrival>,
        admin: Option<TcpListener>,
    ) -> Self {
        let (tasks, delivery) = (&context.environment.tasks, &context.delivery);
        let receiver = BusReceiver {
            delivery: delivery.clone(),
            relays: context.relays.clone(),
            endings: context.endings.clone(),
        };
        let interval = Duration::from_secs(context.config.get().limits.repair_interval_s);
        let (tell_age, age) = watch::channel(None);
        let mut others = vec![
            tasks.spawn("bus arrivals", receiver.run(arrivals)),
            tasks.spawn("repair", repair::run(delivery.clone(), interval)),
            tasks.spawn("pulse", delivery.members.pulse.clone().run(context.peers.clone())),
            tasks.spawn("cursors", save_cursors(context.clone())),
            tasks.spawn("tidying", context.tidier.clone().run(context.key.id.clone())),
            tasks.spawn("strangers", forget_strangers(context.clone())),
            tasks.spawn("age", counter(context, tell_age).run()),
            tasks.spawn("retention", retention(context, age).run()),
        ];
        if let Some(admin) = admin {
            let serving = port::serve(admin, context.clone(), context.shutdown.clone(), tasks.clone());
            others.push(tasks.spawn("admin", serving));
        }
        let keeping = lease_keeper::run(keeper_parts(context), takeovers);
        Background { lease_keeper: tasks.spawn("lease keeper", keeping), others }
    }
}

fn keeper_parts(context: &Arc<Context>) -> lease_keeper::Parts {
    lease_keeper::Parts {
        key: context.key.clone(),
        storage: context.storage.clone(),
        bus: context.bus.clone(),
        lease: context.lease.clone(),
        watch: context.watch.clone(),
        database_answers: context.database_answers.clone(),
        tenants: Arc::new(NodeTenants(context.clone())),
    }
}

fn counter(context: &Context, age: watch::Sender<Option<AgeMs>>) -> Counter {
    Counter {
        key: context.key.clone(),
        storage: context.storage.clone(),
        lease: context.lease.clone(),
        environment: context.environment.clone(),
        age,
    }
}

fn retention(context: &Context, age: watch::Receiver<Option<AgeMs>>) -> Retention {
    Retention {
        settings: context.config.get().retention.clone(),
        environment: context.environment.clone(),
        shortener: Shortener {
            storage: context.storage.clone(),
            lease: context.lease.clone(),
            metrics: context.metrics.clone(),
        },
        age,
    }
}

async fn save_cursors(context: Arc<Context>) {
    context.cursor_saver.run(context.storage.as_ref(), &context.key).await;
}

/// Gives back the memory of what strangers did, also where none come any more.
async fn forget_strangers(context: Arc<Context>) {
    let mut tick = tokio::time::interval(FORGET_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        context.login_limit.forget(Instant::now());
        context.registrations.forget(Instant::now());
        context.operators.forget(Instant::now());
    }
}
