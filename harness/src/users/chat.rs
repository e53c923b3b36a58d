//! Steady conversation in a circle of friends.

use super::Online;
use chat_protocol::conversation::{GroupId, Target, UserId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Between two messages of one user.
const PACE: Duration = Duration::from_millis(50);
/// Every so manieth message is sent again after its ack, as if that had been lost.
const AGAIN_EVERY: usize = 16;

/// Each user in turn writes to each of the others and to the group, until told to stop.
pub struct Chat {
    stop: watch::Sender<bool>,
    talkers: JoinSet<()>,
}

impl Chat {
    /// Everybody writes to everybody else.
    pub fn start(online: &[Arc<Online>], group: GroupId) -> Chat {
        let listeners: Vec<UserId> = online.iter().map(|user| user.user.id).collect();
        Chat::among(online, &listeners, group)
    }

    /// `online` write, also to those who only listen, or are away.
    pub fn among(online: &[Arc<Online>], listeners: &[UserId], group: GroupId) -> Chat {
        let (stop, stopped) = watch::channel(false);
        let mut talkers = JoinSet::new();
        for talker in online {
            let others = listeners.iter().copied().filter(|id| *id != talker.user.id);
            let targets = others.map(Target::User).chain([Target::Group(group)]).collect();
            talkers.spawn(talk(talker.clone(), targets, stopped.clone()));
        }
        Chat { stop, talkers }
    }

    /// Returns when the last message is said; acks and deliveries may still be out.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while let Some(talker) = self.talkers.join_next().await {
            talker.expect("a talker does not panic");
        }
    }
}

async fn talk(talker: Arc<Online>, targets: Vec<Target>, mut stopped: watch::Receiver<bool>) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for (said, target) in targets.iter().cycle().enumerate() {
        tokio::select! {
            _ = pace.tick() => {
                if said % AGAIN_EVERY == AGAIN_EVERY - 1 {
                    talker.say_last_again();
                }
                talker.say(*target);
            }
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}
