//! Those who read what was said, as it is removed.

use super::roamers::{Stopped, until_next};
use crate::users::{Online, User};
use chat_protocol::conversation::{GroupId, Target};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks of one user.
const PACE: Duration = Duration::from_millis(200);

/// What a user may read: the group, and what was said with each friend.
pub(super) fn logs_of(user: &User, users: &[User], group: GroupId) -> Vec<Target> {
    let friends = users.iter().map(|friend| friend.id).filter(|friend| *friend != user.id);
    [Target::Group(group)].into_iter().chain(friends.map(Target::User)).collect()
}

/// Reads one log after the other, until told to stop.
pub(super) async fn read_on(reader: Arc<Online>, logs: Vec<Target>, mut stopped: Stopped) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for log in logs.iter().cycle() {
        if !until_next(&mut pace, &mut stopped).await {
            return;
        }
        // Whoever is cut off reads on later.
        let _ = reader.read(*log).await;
    }
}
