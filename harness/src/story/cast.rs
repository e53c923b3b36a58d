//! The people of a story: circles of friends, some of whom only talk, while others come and go.

use super::readers::{logs_of, read_on};
use super::roamers::{self, Route};
use super::{Plot, RECOVERED, forger};
use crate::cluster::Cluster;
use crate::users::{Chat, Online, Record, User, try_meet};
use anyhow::{Context, Error, Result};
use chat_protocol::conversation::GroupId;
use futures_util::future::{join_all, try_join_all};
use services::within;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Friends who chat with each other, on different nodes.
const CIRCLE: usize = 5;
/// Of these, those who come and go, in the plots that have them.
const ROAMERS: usize = 2;
/// Of these, those who are away for all of a story whose logs get shorter.
const SLEEPERS: usize = 1;

/// Everybody.
pub(super) struct Cast {
    circles: Vec<Circle>,
    chats: Vec<Chat>,
    /// Each with the place of its circle; they end with this.
    roaming: JoinSet<(usize, Result<Online>)>,
    reading: JoinSet<Result<()>>,
    /// Why somebody could not read while the others wrote.
    unread: Option<Error>,
    stop: watch::Sender<bool>,
    plot: Plot,
}

/// How many of each circle do not stay where they are.
#[derive(Clone, Copy)]
struct Movers {
    roamers: usize,
    sleepers: usize,
}

/// Friends with a group.
pub(super) struct Circle {
    pub users: Vec<User>,
    group: GroupId,
    /// Those who are logged in.
    pub online: Vec<Arc<Online>>,
    /// Those who are about to come and go.
    roamers: Vec<(User, Route)>,
    /// Those who come only in the end.
    sleepers: Vec<(User, Route)>,
}

impl Cast {
    /// Makes accounts, and has everybody logged in who stays so.
    pub async fn gather(
        cluster: &dyn Cluster,
        record: &Arc<Record>,
        users: usize,
        plot: Plot,
        has_short_logs: bool,
    ) -> Result<Cast> {
        let addresses = [cluster.entry()];
        let meetings = (0..users.div_ceil(CIRCLE)).map(|_| try_meet(record, &addresses, CIRCLE));
        let met = try_join_all(meetings).await?;
        if let Some((users, _)) = met.first() {
            forger::somebody_forges(record, cluster.entry(), users).await?;
        }
        let roamers = if plot == Plot::Chat { 0 } else { ROAMERS };
        let movers = Movers { roamers, sleepers: if has_short_logs { SLEEPERS } else { 0 } };
        let circles = met.into_iter().map(|(users, group)| Circle::gather(cluster, users, group, movers));
        let circles = try_join_all(circles).await?;
        let (roaming, reading, stop) = (JoinSet::new(), JoinSet::new(), watch::Sender::new(false));
        Ok(Cast { circles, chats: Vec::new(), roaming, reading, unread: None, stop, plot })
    }

    /// From here on people write, come and go.
    pub fn begin(&mut self) {
        for (place, circle) in self.circles.iter_mut().enumerate() {
            let everybody: Vec<_> = circle.users.iter().map(|user| user.id).collect();
            self.chats.push(Chat::among(&circle.online, &everybody, circle.group));
            for (user, route) in circle.sleepers.drain(..) {
                let sleeping = roamers::stay_away(user, route, self.stop.subscribe());
                self.roaming.spawn(async move { (place, sleeping.await) });
            }
            for (user, route) in circle.roamers.drain(..) {
                let stopped = self.stop.subscribe();
                match self.plot {
                    Plot::Logins => {
                        let roaming = roamers::move_about(user, circle.group, route, stopped);
                        self.roaming.spawn(async move { (place, roaming.await) });
                    }
                    Plot::Chat | Plot::Offline => {
                        let roaming = roamers::commute(user, route, stopped);
                        self.roaming.spawn(async move { (place, roaming.await) });
                    }
                }
            }
        }
    }

    /// From here on one of each circle reads what was said, too.
    pub fn begin_to_read(&mut self) {
        for Circle { users, group, online, .. } in &self.circles {
            if let Some(reader) = online.first() {
                let logs = logs_of(&reader.user, users, *group);
                self.reading.spawn(read_on(reader.clone(), logs, self.stop.subscribe()));
            }
        }
    }

    /// Everybody who is logged in reads all that is left.
    ///
    /// # Errors
    /// If somebody is not let, or was not before.
    pub async fn read(&mut self) -> Result<()> {
        let read = self.circles.iter().flat_map(|circle| {
            circle.online.iter().map(|user| async {
                for log in logs_of(&user.user, &circle.users, circle.group) {
                    user.read(log).await.with_context(|| format!("user {} cannot read {log:?}", user.user.id))?;
                }
                Ok(())
            })
        });
        let read = try_join_all(read).await.map(|_| ());
        self.unread.take().map_or(read, Err)
    }

    /// Nobody writes any more, and everybody is logged in.
    pub async fn stop(&mut self) -> Result<()> {
        self.stop.send_replace(true);
        join_all(self.chats.drain(..).map(Chat::stop)).await;
        while let Some(read) = self.reading.join_next().await {
            self.unread = read.context("a reader panicked")?.err().or(self.unread.take());
        }
        while let Some(back) = self.roaming.join_next().await {
            let (place, online) = back.context("a user panicked")?;
            self.circles[place].online.push(Arc::new(online?));
        }
        let mut online = self.circles.iter().flat_map(|circle| &circle.online);
        let everybody = async || online.clone().all(|user| user.node().is_some()).then_some(());
        let claim = "everybody is online again";
        let is_online = within(RECOVERED, claim, everybody).await;
        is_online.with_context(|| {
            let missing = online.find(|user| user.node().is_none()).map(|user| user.user.name.clone());
            format!("missing is {}", missing.unwrap_or_default())
        })
    }

    pub fn into_circles(self) -> Vec<Circle> {
        self.circles
    }
}

impl Circle {
    /// Every second user through nginx; of the others each node has some. A client that loses its node tries the
    /// others.
    async fn gather(cluster: &dyn Cluster, users: Vec<User>, group: GroupId, movers: Movers) -> Result<Circle> {
        let talkers = users.len() - movers.roamers - movers.sleepers;
        let mut online = Vec::new();
        for (place, user) in users[..talkers].iter().enumerate() {
            let addresses = match place % 2 {
                0 => vec![cluster.entry()],
                _ => cluster.starting_at(place / 2 % cluster.node_addresses().len()),
            };
            online.push(Arc::new(user.log_in(&addresses).await.context("nobody is online yet")?));
        }
        let route = |(place, user): (usize, &User)| (user.clone(), Route::over(cluster, place));
        let mut moving = users[talkers..].iter().enumerate().map(route);
        let roamers = moving.by_ref().take(movers.roamers).collect();
        let sleepers = moving.collect();
        Ok(Circle { users, group, online, roamers, sleepers })
    }
}
