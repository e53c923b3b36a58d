//! ONE_CHAT and GROUP_CHAT.
//!
//! With `qos` 1 the message goes to a writer, which answers after the commit. With `qos` 0 it is relayed to who is online,
//! at best without waiting for anything; a friend who cannot be reached so gets it through the database.

use crate::bus::{Item, Recipients};
use crate::core::Core;
use crate::delivery::{by_node, explain_refusal};
use crate::inbox::relay_here;
use crate::limits::{LISTED_RECIPIENTS, MAX_NODE_FRAME_BYTES};
use crate::metrics::Path;
use crate::outbound::Outbound;
use crate::protocol::conversation::{Target, UserId};
use crate::protocol::errno::{Errno, Failure};
use crate::protocol::message::{Chat, ChatMessage, Kind, MidText, Outgoing, Reply};
use crate::routes::Route;
use crate::service::storage_failure;
use crate::session::Session;
use crate::storage::{Append, Audience};
use crate::writer::{Job, PendingChat, unavailable};
use std::sync::Arc;

/// The longest message: however it is escaped, its push stays within a node's frame limit. Beyond it errno 9.
const MAX_MESSAGE_BYTES: usize = MAX_NODE_FRAME_BYTES / 6 - 1_024;

/// Sees to a chat message; the answer goes to `outbound`, now or later.
pub fn send(core: &Arc<Core>, session: &Session, outbound: &Arc<Outbound>, mid: Option<MidText>, chat: Chat) {
    let (kind, path) = match chat.to {
        Target::User(_) => (Kind::OneChat, Path::Direct),
        Target::Group(_) => (Kind::GroupChat, Path::Group),
    };
    core.metrics.messages(path, u8::from(chat.stored)).inc();
    let request = || {
        outbound.expect_answer();
        PendingChat { outbound: outbound.clone(), kind, mid }
    };
    if let Some(failure) = refuse(core, session, &chat) {
        return request().answer(Err(failure));
    }
    if chat.stored {
        return store(core, session, chat, request());
    }
    let message = relayed(session, chat);
    if relay_at_once(core, &message) {
        let result = Ok(Reply::Chat(None));
        return outbound.send_quietly(&Outgoing::Reply { kind, mid, result });
    }
    relay_later(core, message, request());
}

fn refuse(core: &Core, session: &Session, chat: &Chat) -> Option<Failure> {
    if chat.to == Target::User(session.user) {
        return Some(Failure::field("toid", "someone else's id"));
    }
    if chat.msg.len() > MAX_MESSAGE_BYTES {
        return Some(Failure::new(Errno::TooLarge, format!("a message has at most {MAX_MESSAGE_BYTES} bytes")));
    }
    // In this order: what was taken over is closed before the lease is good again.
    (!core.lease.is_held() || session.is_closing()).then(unavailable)
}

fn store(core: &Core, session: &Session, chat: Chat, request: PendingChat) {
    let append = Append {
        conv: chat.to.conversation(session.user),
        sender: session.user,
        mid: chat.mid,
        msg: chat.msg.into(),
        sent_as: chat.sent_as,
        allowed_under: 0,
    };
    core.writers.submit(Job { append, sender_name: session.name.clone(), request: Some(request) });
}

fn relayed(session: &Session, chat: Chat) -> ChatMessage {
    ChatMessage {
        conv: chat.to.conversation(session.user),
        seq: 0,
        sender: session.user,
        name: session.name.clone(),
        msg: chat.msg.into(),
        time: crate::clock::now_ms(),
        mid: chat.mid,
        sent_as: chat.sent_as,
    }
}

/// The way without waiting: the members are known, and the friend is here or known to be on another node.
fn relay_at_once(core: &Core, message: &ChatMessage) -> bool {
    let Some(audience) = core.audiences.cached(message.conv).filter(|audience| audience.may_post(message.sender))
    else {
        return false;
    };
    match message.conv.target_from(message.sender) {
        Target::User(friend) => reach_friend(core, message, friend),
        Target::Group(_) => {
            let known = |user: &UserId| core.routes.cached(*user) != Route::Unknown;
            let small = audience.members.len() <= LISTED_RECIPIENTS;
            let here = |user: &UserId| core.registry.with(*user, |_| ()).is_some();
            if small && !audience.members.iter().all(|user| here(user) || known(user)) {
                return false;
            }
            reach_group(core, message, &audience);
            true
        }
    }
}

fn reach_friend(core: &Core, message: &ChatMessage, friend: UserId) -> bool {
    if relay_here(core, message, &[friend]).is_empty() {
        return true;
    }
    match core.routes.cached(friend) {
        Route::Node(node) if node != core.key.id => {
            let recipients = Recipients::Users(vec![friend]);
            core.bus.send(&node, Item::Relay { message: message.clone(), recipients });
            true
        }
        _ => false,
    }
}

fn reach_group(core: &Core, message: &ChatMessage, audience: &Audience) {
    let elsewhere = relay_here(core, message, &audience.members);
    if audience.members.len() > LISTED_RECIPIENTS {
        return core.tell_peers(|| Item::Relay { message: message.clone(), recipients: Recipients::Members });
    }
    for (node, users) in by_node(core, &elsewhere) {
        core.bus.send(&node, Item::Relay { message: message.clone(), recipients: Recipients::Users(users) });
    }
}

/// The way that reads from the database first. Errno 11 while too many are under way.
fn relay_later(core: &Arc<Core>, message: ChatMessage, request: PendingChat) {
    let Ok(permit) = core.errands.clone().try_acquire_owned() else {
        return request.answer(Err(unavailable()));
    };
    let core = core.clone();
    tokio::spawn(async move {
        look_up_and_relay(&core, message, request).await;
        drop(permit);
    });
}

async fn look_up_and_relay(core: &Arc<Core>, message: ChatMessage, request: PendingChat) {
    let audience = match may_post(core, &message).await {
        Ok(audience) => audience,
        Err(failure) => return request.answer(Err(failure)),
    };
    if audience.members.len() <= LISTED_RECIPIENTS
        && let Err(error) = core.routes.look_up(audience.members.iter().copied()).await
    {
        return request.answer(Err(storage_failure(error)));
    }
    match message.conv.target_from(message.sender) {
        Target::Group(_) => reach_group(core, &message, &audience),
        Target::User(friend) if reach_friend(core, &message, friend) => {}
        Target::User(_) => return store_relayed(core, message, request),
    }
    request.answer(Ok(None));
}

async fn may_post(core: &Core, message: &ChatMessage) -> Result<Audience, Failure> {
    let cached = core.audiences.cached(message.conv).filter(|audience| audience.may_post(message.sender));
    if let Some(audience) = cached {
        return Ok(audience);
    }
    match core.audiences.load(message.conv).await.map_err(storage_failure)? {
        Some(audience) if audience.may_post(message.sender) => Ok(audience),
        _ => Err(explain_refusal(core, message.conv, message.sender).await.map_err(storage_failure)?),
    }
}

fn store_relayed(core: &Core, message: ChatMessage, request: PendingChat) {
    let ChatMessage { conv, sender, name, msg, mid, sent_as, .. } = message;
    let append = Append { conv, sender, mid, msg, sent_as, allowed_under: 0 };
    core.writers.submit(Job { append, sender_name: name, request: Some(request) });
}
