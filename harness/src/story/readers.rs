//! Those who read what was said, as it is removed.

use super::roamers::{Stopped, until_next};
use crate::users::{Online, User};
use anyhow::{Context, Result, ensure};
use chat_client::Error;
use chat_protocol::conversation::{GroupId, Target};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Between two reads of one user.
const PACE: Duration = Duration::from_millis(200);

/// What a user may read: the group, and what was said with each friend.
pub(super) fn logs_of(user: &User, users: &[User], group: GroupId) -> Vec<Target> {
    let friends = users.iter().map(|friend| friend.id).filter(|friend| *friend != user.id);
    [Target::Group(group)].into_iter().chain(friends.map(Target::User)).collect()
}

/// Reads one log after the other, until told to stop.
///
/// # Errors
/// If a read is refused for good, or none succeeds.
pub(super) async fn read_on(reader: Arc<Online>, logs: Vec<Target>, mut stopped: Stopped) -> Result<()> {
    let (user, mut has_read) = (reader.user.id, false);
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for log in logs.iter().cycle() {
        if !until_next(&mut pace, &mut stopped).await {
            break;
        }
        match reader.read(*log).await {
            Ok(()) => has_read = true,
            // Whoever is cut off reads on later.
            Err(error) if is_worth_another_try(&error) => {}
            Err(error) => return Err(error).with_context(|| format!("user {user} cannot read {log:?}")),
        }
    }
    ensure!(has_read, "user {user} could read nothing all the while");
    Ok(())
}

/// Whether a client would ask again, maybe over another connection.
fn is_worth_another_try(error: &Error) -> bool {
    match error {
        Error::Refused(failure) => failure.errno.is_retryable() || failure.retry.is_some(),
        Error::Disconnected(_) | Error::TimedOut | Error::Full => true,
        Error::Protocol(_) | Error::TooLarge { .. } | Error::Connect { .. } | Error::Tls { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_client::Why;
    use chat_protocol::errno::{Errno, Failure};

    #[test]
    fn final_refusal_is_not_asked_about_again() {
        let refused = |errno| Error::Refused(Failure::new(errno, ""));
        for passing in [refused(Errno::Unavailable), Error::Disconnected(Why::Closed), Error::TimedOut] {
            assert!(is_worth_another_try(&passing), "{passing:?}");
        }
        for last in [refused(Errno::NotAllowed), Error::Protocol("no page".into())] {
            assert!(!is_worth_another_try(&last), "{last:?}");
        }
    }
}
