//! What a node does for every message: read and write it, find its recipient, store it, and tell another node.

use bytes::BytesMut;
use chat::bench::{LocalPair, TEXT, chat_request, config, message};
use chat::bus::signature::BusKey;
use chat::bus::{Item, Recipients, envelope};
use chat::cluster::{ClusterSecret, NodeKey};
use chat::node::Node;
use chat::storage::{self, Append, Claim, Storage};
use chat_protocol::conversation::{Conversation, Target, UserId};
use chat_protocol::message::{Chat, Outgoing};
use chat_protocol::{Codec, Dialect};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use tokio::runtime::Runtime;
use uuid::Uuid;

const MAX_FRAME_BYTES: usize = 65_536;
/// Conversations that a batch is spread over: each has pages of its own.
const CONVERSATIONS: u64 = 64;

fn codec(criterion: &mut Criterion) {
    for dialect in [Dialect::Framed, Dialect::Bare, Dialect::Checked] {
        let mut group = criterion.benchmark_group(format!("codec/{dialect:?}").to_lowercase());
        let mut codec = Codec::new(dialect, MAX_FRAME_BYTES);
        let frame = chat_request(dialect);
        group.throughput(Throughput::Elements(1));
        group.bench_function("decode a chat", |bencher| {
            let decode = |mut input: BytesMut| codec.decode(black_box(&mut input)).expect("a lawful frame");
            bencher.iter_batched(|| frame.clone(), decode, BatchSize::SmallInput);
        });
        let message = message(7);
        let mut out = BytesMut::new();
        group.bench_function("encode a push", |bencher| {
            bencher.iter(|| {
                out.clear();
                codec.encode(&Outgoing::Push(black_box(&message)), &mut out);
            });
        });
        group.finish();
    }
}

fn routing(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let node = runtime.block_on(Node::start(config("sqlite::memory:"))).expect("a node starts");
    let mut pair = LocalPair::new(&node, 1, 2);
    let _guard = runtime.enter();
    let mut group = criterion.benchmark_group("routing");
    group.throughput(Throughput::Elements(1));
    group.bench_function("relay to a local session (qos 0)", |bencher| {
        bencher.iter(|| {
            let chat = Chat {
                to: Target::User(2),
                msg: TEXT.to_owned(),
                stored: false,
                mid: Some(Uuid::from_u128(7)),
                sent_as: None,
            };
            pair.send(chat);
            assert!(pair.take() > 0);
        });
    });
    let mut stored = message(0);
    group.bench_function("deliver to a local session (qos 1)", |bencher| {
        bencher.iter(|| {
            stored.seq += 1;
            pair.deliver(&stored);
            assert!(pair.take() > 0);
        });
    });
    group.finish();
    node.shutdown().drain();
    runtime.block_on(node.stopped()).expect("the node stops");
}

/// Makes so many users, and another who is everybody's friend; returns the friends.
async fn friends(storage: &dyn Storage, count: u64) -> Vec<(UserId, UserId)> {
    let register = async |name: &str| storage.register(name, "-").await.expect("SQLite answers").expect("a free name");
    let everybody = register("everybody").await;
    let mut pairs = Vec::new();
    for place in 0..count {
        let user = register(&format!("user{place}")).await;
        storage.add_friend(&user.into(), everybody).await.expect("SQLite answers");
        pairs.push((user, everybody));
    }
    pairs
}

fn append(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = format!("sqlite:{}", directory.path().join("chat.db").display());
    let storage: Arc<dyn Storage> =
        runtime.block_on(storage::open(&config(&url).database)).expect("a database is made");
    let pairs = runtime.block_on(friends(storage.as_ref(), CONVERSATIONS));
    let node = NodeKey { id: "bench".into(), boot: 1 };
    let claims: Vec<Claim> =
        pairs.iter().map(|(sender, _)| Claim { user: *sender, takeover: None, token_generation: None }).collect();
    runtime.block_on(storage.start_node(&node)).expect("SQLite answers");
    runtime.block_on(storage.claim_sessions(&node, &claims)).expect("SQLite answers");
    let conv = Conversation::direct(pairs[0].0, pairs[0].1);
    let audiences = runtime.block_on(storage.audiences(&[conv])).expect("SQLite answers");
    let version = audiences[&conv].version;
    let mut group = criterion.benchmark_group("append");
    group.sample_size(20);
    for (count, conversations) in [(1, 1), (64, 1), (64, CONVERSATIONS), (256, CONVERSATIONS)] {
        group.throughput(Throughput::Elements(count));
        let batch = || -> Vec<Append> {
            let pairs = pairs[..conversations as usize].iter().cycle();
            pairs
                .take(count as usize)
                .map(|(sender, recipient)| message_to_append(*sender, *recipient, version))
                .collect()
        };
        group.bench_function(format!("{count} messages in {conversations}, SQLite, flushed"), |bencher| {
            bencher.iter_batched(
                batch,
                |batch| runtime.block_on(storage.append(&node, &batch, 1_700_000_000_000, &|| true)).expect("a commit"),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// As a node appends it that knows the members already.
fn message_to_append(sender: UserId, recipient: UserId, allowed_under: u64) -> Append {
    let conv = Conversation::direct(sender, recipient);
    Append { allowed_under, epoch: Some(1), ..Append::new(conv, sender, Uuid::now_v7(), TEXT) }
}

/// Envelopes with their signatures, and beside them the signatures alone.
fn bus(criterion: &mut Criterion) {
    let key = BusKey::new(&ClusterSecret([7; 32]));
    let seal = key.seal("chat:node:two");
    let from = NodeKey { id: "one".into(), boot: 1_700_000_000_000_000 };
    let mut group = criterion.benchmark_group("bus");
    group.bench_function("make the seal of a channel", |bencher| {
        bencher.iter(|| black_box(&key).seal(black_box("chat:node:two")));
    });
    for count in [1, 16, 256] {
        group.throughput(Throughput::Elements(count));
        let item = |seq| Item::Deliver { message: message(seq), version: 1, recipients: Recipients::Users(vec![2]) };
        let items: Vec<Item> = (1..=count).map(item).collect();
        let bytes = envelope::encode(&seal, &from, 1, &items);
        let size = bytes.len();
        group.bench_function(format!("encode an envelope of {count}"), |bencher| {
            bencher.iter(|| envelope::encode(black_box(&seal), &from, 1, black_box(&items)));
        });
        group.bench_function(format!("decode an envelope of {count}"), |bencher| {
            bencher.iter(|| envelope::decode(black_box(&seal), black_box(&bytes)).expect("it is signed"));
        });
        group.bench_function(format!("sign an envelope of {count} ({size} bytes)"), |bencher| {
            bencher.iter(|| black_box(&seal).sign(&[black_box(&bytes)]));
        });
    }
    group.finish();
}

criterion_group!(benches, codec, routing, append, bus);
criterion_main!(benches);
