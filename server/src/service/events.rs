//! EVENTs: best effort, for clients that asked for them.

use crate::bus::Item;
use crate::delivery::Delivery;
use crate::delivery::errands::Purpose;
use crate::session::Session;
use crate::session::login_reads::FRIENDS;
use crate::storage;
use chat_protocol::conversation::UserId;
use chat_protocol::message::{Event, Friend, State};
use std::sync::Arc;

/// Friends that are told of a login or logout.
const TOLD_FRIENDS: u32 = 200;

/// Tells the user's online friends that it came. `friends`: those in the LOGIN_ACK, read after the claim was committed.
/// Whoever comes online after that finds the user online, unless both read from servers that lag behind.
pub fn came(delivery: &Arc<Delivery>, session: &Session, friends: &[Friend]) {
    let online = friends.iter().filter(|friend| friend.state == State::Online).map(|friend| friend.id);
    let all_online = (friends.len() < FRIENDS as usize).then(|| online.collect());
    presence(delivery, session, State::Online, all_online);
}

/// Tells the user's online friends that it went.
pub fn went(delivery: &Arc<Delivery>, session: &Session) {
    presence(delivery, session, State::Offline, None);
}

/// Left out while the node has much of this to do. Friends that are not known to be online are looked up.
fn presence(delivery: &Arc<Delivery>, session: &Session, state: State, online: Option<Vec<UserId>>) {
    let event = Event::Presence { id: session.user, name: session.name.to_string(), state };
    let user = session.user;
    let _ = delivery.errands.run(Purpose::Presence, delivery.clone(), |delivery| async move {
        let telling = async {
            let friends = match online {
                Some(online) => online,
                None => delivery.storage.online_friends(user, TOLD_FRIENDS).await?,
            };
            tell_now(&delivery, friends, &event).await
        };
        log(telling.await);
    });
}

/// Tells users what happened, wherever they are, in the background.
pub fn tell(delivery: &Arc<Delivery>, users: Vec<UserId>, event: Event) {
    let telling = |delivery: Arc<Delivery>| async move { log(tell_now(&delivery, users, &event).await) };
    let _ = delivery.errands.run(Purpose::Event, delivery.clone(), telling);
}

fn log(told: storage::Result<()>) {
    if let Err(error) = told {
        tracing::debug!(%error, "an event was not told");
    }
}

async fn tell_now(delivery: &Delivery, users: Vec<UserId>, event: &Event) -> storage::Result<()> {
    let elsewhere: Vec<UserId> = users
        .into_iter()
        .filter(|user| delivery.registry.with(*user, |session| session.tell(event)).is_none())
        .collect();
    if elsewhere.is_empty() || delivery.peers.live().is_empty() {
        return Ok(());
    }
    delivery.routes.look_up(elsewhere.iter().copied()).await?;
    let event = serde_json::to_string(event).expect("an event is plain data");
    for (node, users) in delivery.routes.by_node(&elsewhere, &delivery.key.id) {
        delivery.bus.send(&node, Item::Event { event: event.clone(), users });
    }
    Ok(())
}
