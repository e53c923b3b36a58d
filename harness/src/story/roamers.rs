//! Those who do not stay where they are.

use super::RECOVERED;
use crate::cluster::Cluster;
use crate::users::{Online, User};
use anyhow::{Result, ensure};
use chat_protocol::conversation::{GroupId, Target};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// Between two moves of one user: long enough to get something, short enough to be on the way in any fault.
const PACE: Duration = Duration::from_millis(700);
/// For one login that may have to find out about a dead node.
const ATTEMPT: Duration = Duration::from_secs(8);
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(100);
/// Clients that were replaced and have not noticed; beyond it the oldest goes.
const REPLACED: usize = 4;

pub(super) type Stopped = watch::Receiver<bool>;

/// The nodes, one after the other.
pub(super) struct Route {
    places: Vec<Vec<SocketAddr>>,
    next: usize,
}

impl Route {
    pub fn over(cluster: &dyn Cluster, start: usize) -> Route {
        Route {
            places: (0..cluster.node_addresses().len()).map(|place| cluster.starting_at(place)).collect(),
            next: start,
        }
    }

    fn next(&mut self) -> Vec<SocketAddr> {
        self.next += 1;
        self.places[self.next % self.places.len()].clone()
    }
}

/// Leaves and comes back elsewhere, until told to stop. What is written meanwhile waits.
pub(super) async fn commute(user: User, mut route: Route, mut stopped: Stopped) -> Result<Online> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while until_next(&mut pace, &mut stopped).await {
        let here = come(&user, &mut route).await?;
        if !until_next(&mut pace, &mut stopped).await {
            return Ok(here);
        }
        here.leave_or_vanish().await;
    }
    come(&user, &mut route).await
}

/// Is away until told to stop. What is written meanwhile waits, however long that is.
pub(super) async fn stay_away(user: User, mut route: Route, mut stopped: Stopped) -> Result<Online> {
    // Without anybody to tell it, it is over as well.
    let _ = stopped.wait_for(|stop| *stop).await;
    come(&user, &mut route).await
}

/// Logs in elsewhere without leaving, until told to stop. The client that was replaced goes on writing until it knows.
pub(super) async fn move_about(user: User, group: GroupId, mut route: Route, mut stopped: Stopped) -> Result<Online> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut clients: Vec<Online> = Vec::new();
    while until_next(&mut pace, &mut stopped).await {
        if let Ok(Ok(newer)) = timeout(ATTEMPT, user.take_over_once(&route.next())).await {
            clients.push(newer);
        }
        clients.retain(|client| !client.is_ended());
        if clients.len() > REPLACED {
            clients.remove(0).vanish().await;
        }
        clients.iter().for_each(|client| client.say(Target::Group(group)));
    }
    let online = come(&user, &mut route).await?;
    for client in clients {
        client.vanish().await;
    }
    Ok(online)
}

/// False: it is over.
pub(super) async fn until_next(pace: &mut tokio::time::Interval, stopped: &mut Stopped) -> bool {
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stop| *stop) => false,
        _ = pace.tick() => true,
    }
}

/// Logs in as soon as some node allows it.
async fn come(user: &User, route: &mut Route) -> Result<Online> {
    let deadline = Instant::now() + RECOVERED;
    loop {
        let place = route.next();
        let why = match timeout(ATTEMPT, user.take_over(&place)).await {
            Ok(Ok(online)) => return Ok(online),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".into(),
        };
        ensure!(Instant::now() < deadline, "user {} cannot log in: {why}", user.id);
        sleep(RETRY).await;
    }
}
