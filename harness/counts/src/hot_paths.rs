//! What a node does for every message beside the database, one operation at a time, as the bench `hot_paths` has it.

use crate::ROUNDS;
use anyhow::{Context, Result};
use bytes::BytesMut;
use chat::bench::{LocalPair, TEXT, chat_request, config, message};
use chat::bus::signature::{BusKey, Seal};
use chat::bus::{Item, Recipients, envelope};
use chat::cluster::{ClusterSecret, NodeKey};
use chat::node::Node;
use chat_protocol::conversation::Target;
use chat_protocol::message::{Chat, Outgoing};
use chat_protocol::{Codec, Dialect};
use std::hint::black_box;
use tokio::runtime::Builder;
use uuid::Uuid;

const MAX_FRAME_BYTES: usize = 65_536;
/// Messages in an envelope under load.
const MANY: u64 = 16;

/// Runs an operation for [`ROUNDS`] times; it has been run once before.
pub type Rounds<'a> = &'a mut dyn FnMut(&mut dyn FnMut());

type HotPath = fn(Rounds<'_>);

const HOT_PATHS: [(&str, HotPath); 12] = [
    ("decode a chat, framed", |rounds| decode(Dialect::Framed, rounds)),
    ("decode a chat, bare", |rounds| decode(Dialect::Bare, rounds)),
    ("decode a chat, checked", |rounds| decode(Dialect::Checked, rounds)),
    ("encode a push, framed", |rounds| encode(Dialect::Framed, rounds)),
    ("encode a push, bare", |rounds| encode(Dialect::Bare, rounds)),
    ("encode a push, checked", |rounds| encode(Dialect::Checked, rounds)),
    ("relay a message to a session here", relay),
    ("push a stored message to a session here", deliver),
    ("encode and sign an envelope of 1", |rounds| encode_envelope(1, rounds)),
    ("encode and sign an envelope of 16", |rounds| encode_envelope(MANY, rounds)),
    ("verify and decode an envelope of 1", |rounds| decode_envelope(1, rounds)),
    ("verify and decode an envelope of 16", |rounds| decode_envelope(MANY, rounds)),
];

pub fn names() -> impl Iterator<Item = &'static str> {
    HOT_PATHS.iter().map(|(name, _)| *name)
}

/// Runs the hot path of that name.
///
/// # Errors
/// There is none.
pub fn run(name: &str, rounds: Rounds<'_>) -> Result<()> {
    let (_, path) = HOT_PATHS.iter().find(|(other, _)| *other == name).with_context(|| format!("no path {name:?}"))?;
    path(&mut |operation| {
        operation();
        rounds(operation);
    });
    Ok(())
}

fn decode(dialect: Dialect, rounds: Rounds<'_>) {
    let mut codec = Codec::new(dialect, MAX_FRAME_BYTES);
    let mut inputs = vec![chat_request(dialect); ROUNDS + 1];
    rounds(&mut || {
        let mut input: BytesMut = inputs.pop().expect("one for each round");
        black_box(codec.decode(black_box(&mut input)).expect("a lawful frame"));
    });
}

fn encode(dialect: Dialect, rounds: Rounds<'_>) {
    let codec = Codec::new(dialect, MAX_FRAME_BYTES);
    let (message, mut out) = (message(7), BytesMut::new());
    rounds(&mut || {
        out.clear();
        codec.encode(&Outgoing::Push(black_box(&message)), &mut out);
    });
}

fn relay(rounds: Rounds<'_>) {
    with_pair(|pair| {
        rounds(&mut || {
            let (to, msg, mid) = (Target::User(2), TEXT.to_owned(), Some(Uuid::from_u128(7)));
            pair.send(Chat { to, msg, stored: false, mid, sent_as: None });
            assert!(pair.take() > 0, "the recipient gets it");
        });
    });
}

fn deliver(rounds: Rounds<'_>) {
    let mut stored = message(0);
    with_pair(|pair| {
        rounds(&mut || {
            stored.seq += 1;
            pair.deliver(&stored);
            assert!(pair.take() > 0, "the recipient gets it");
        });
    });
}

/// Two users of a node whose tasks stand still meanwhile.
fn with_pair(work: impl FnOnce(&mut LocalPair)) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let node = runtime.block_on(Node::start(config("sqlite::memory:"))).expect("a node starts");
    let _guard = runtime.enter();
    work(&mut LocalPair::new(&node, 1, 2));
}

struct Bus {
    seal: Seal,
    from: NodeKey,
    items: Vec<Item>,
}

impl Bus {
    fn new(messages: u64) -> Bus {
        let item = |seq| Item::Deliver { message: message(seq), version: 1, recipients: Recipients::Users(vec![2]) };
        Bus {
            seal: BusKey::new(&ClusterSecret([7; 32])).seal("chat:node:two"),
            from: NodeKey { id: "one".into(), boot: 1_700_000_000_000_000 },
            items: (1..=messages).map(item).collect(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        envelope::encode(black_box(&self.seal), &self.from, 1, black_box(&self.items))
    }
}

fn encode_envelope(messages: u64, rounds: Rounds<'_>) {
    let bus = Bus::new(messages);
    rounds(&mut || {
        black_box(bus.encode());
    });
}

fn decode_envelope(messages: u64, rounds: Rounds<'_>) {
    let bus = Bus::new(messages);
    let bytes = bus.encode();
    rounds(&mut || {
        black_box(envelope::decode(&bus.seal, black_box(&bytes)).expect("it is signed"));
    });
}
