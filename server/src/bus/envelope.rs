//! What goes through a node's channel: numbered envelopes.
//!
//! One version byte and a signature over the rest and the channel (see `signature`), then in postcard the sender, its
//! boot and the envelope's number, then items one after another to the end. There is no count in front, so an envelope
//! can be filled until it is large enough. One without items is a heartbeat: it repeats the newest number, so that a
//! receiver notices what was lost although nothing follows. What comes out of a channel is outside input: whatever
//! cannot be read is refused and never more than that.

use super::Item;
use super::signature::{SIGNATURE_BYTES, Seal};
use crate::bus::QUEUE_BYTES;
use crate::cluster::{MAX_NODE_ID_BYTES, NodeId, NodeKey};
use serde::{Deserialize, Serialize};

/// The first byte. Another one means nodes of different releases share a channel; they do not understand each other.
pub const VERSION: u8 = 3;
/// No sender makes a longer one, since even a single item has to fit its queue; the rest is room for the head.
pub const MAX_BYTES: usize = QUEUE_BYTES + 1024;

/// One envelope, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub from: NodeKey,
    /// Counts 1, 2, 3 … from this boot of the sender to this receiver; a heartbeat repeats the newest.
    pub number: u64,
    /// In the order they were sent; empty in a heartbeat.
    pub items: Vec<Item>,
}

/// Bytes that are no envelope: count and ignore them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    #[error("{0} bytes are too many for an envelope")]
    TooLong(usize),
    #[error("no bytes")]
    Empty,
    #[error("version {0} instead of {VERSION}")]
    Version(u8),
    /// Made by nobody of this cluster, or not for this node, or changed on the way.
    #[error("not signed by a node of this cluster")]
    Signature,
    #[error("malformed: {0}")]
    Malformed(#[from] postcard::Error),
    #[error("bad sender")]
    Sender,
}

#[derive(Serialize, Deserialize)]
struct Head<K> {
    from: K,
    number: u64,
}

/// The bytes of one envelope, signed with the seal of the receiver's channel.
pub fn encode<'a>(seal: &Seal, from: &NodeKey, number: u64, items: impl IntoIterator<Item = &'a Item>) -> Vec<u8> {
    let mut bytes = append(vec![VERSION; 1 + SIGNATURE_BYTES], &Head { from, number });
    for item in items {
        bytes = append(bytes, item);
    }
    let signature = seal.sign(&[&[VERSION], &bytes[1 + SIGNATURE_BYTES..]]);
    bytes[1..=SIGNATURE_BYTES].copy_from_slice(&signature);
    bytes
}

/// Reads one envelope; all of `bytes` must belong to it. Nothing of it is looked at before its signature.
pub fn decode(seal: &Seal, bytes: &[u8]) -> Result<Envelope, Undecodable> {
    if bytes.len() > MAX_BYTES {
        return Err(Undecodable::TooLong(bytes.len()));
    }
    let (version, rest) = bytes.split_first().ok_or(Undecodable::Empty)?;
    if *version != VERSION {
        return Err(Undecodable::Version(*version));
    }
    let (signature, rest) = rest.split_first_chunk().ok_or(Undecodable::Signature)?;
    if !seal.verify(&[&[VERSION], rest], signature) {
        return Err(Undecodable::Signature);
    }
    let (head, mut rest) = postcard::take_from_bytes::<Head<NodeKey>>(rest)?;
    check_sender(&head.from)?;
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (item, left) = postcard::take_from_bytes::<Item>(rest)?;
        items.push(item);
        rest = left;
    }
    Ok(Envelope { from: head.from, number: head.number, items })
}

fn append<T: Serialize>(bytes: Vec<u8>, value: &T) -> Vec<u8> {
    postcard::to_extend(value, bytes).expect("plain data of known length always serialises into memory")
}

fn check_sender(NodeKey { id: NodeId(name), boot }: &NodeKey) -> Result<(), Undecodable> {
    let lawful = !name.is_empty() && name.len() <= MAX_NODE_ID_BYTES && *boot > 0;
    if lawful { Ok(()) } else { Err(Undecodable::Sender) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Moved;
    use crate::bus::Recipients;
    use crate::bus::signature::BusKey;
    use crate::cluster::{ClusterSecret, EndReason};
    use chat_protocol::conversation::Conversation;
    use chat_protocol::message::{ChatMessage, SentAs};
    use proptest::prelude::*;
    use strum::VariantArray as _;
    use uuid::Uuid;

    fn key(name: &str, boot: i64) -> NodeKey {
        NodeKey { id: name.into(), boot }
    }

    fn seal() -> Seal {
        BusKey::new(&ClusterSecret([7; 32])).seal("chat:node:two")
    }

    fn encode<'a>(from: &NodeKey, number: u64, items: impl IntoIterator<Item = &'a Item>) -> Vec<u8> {
        super::encode(&seal(), from, number, items)
    }

    fn decode(bytes: &[u8]) -> Result<Envelope, Undecodable> {
        super::decode(&seal(), bytes)
    }

    /// These bytes behind a good signature.
    fn signed(rest: &[u8]) -> Vec<u8> {
        [&[VERSION], seal().sign(&[&[VERSION], rest]).as_slice(), rest].concat()
    }

    fn message() -> impl Strategy<Value = ChatMessage> {
        let sent_as = proptest::option::of((any::<Option<String>>(), any::<Option<String>>()));
        (any::<(u64, u64, u64, i64, u128)>(), any::<(String, String)>(), sent_as).prop_map(
            |((group, seq, sender, time, mid), (name, msg), sent_as)| ChatMessage {
                log_epoch: 0,
                conv: Conversation::Group(group),
                seq,
                sender,
                name: name.into(),
                msg: msg.into(),
                time,
                mid: Uuid::from_u128(mid),
                sent_as: sent_as.map(|(name, time)| Box::new(SentAs { name, time })),
            },
        )
    }

    fn recipients() -> impl Strategy<Value = Recipients> {
        prop_oneof![Just(Recipients::Members), any::<Vec<u64>>().prop_map(Recipients::Users)]
    }

    fn moved() -> impl Strategy<Value = Option<Moved>> {
        let step = prop_oneof![any::<u64>().prop_map(Moved::Joined), any::<u64>().prop_map(Moved::Left)];
        proptest::option::of(step)
    }

    fn item() -> impl Strategy<Value = Item> {
        prop_oneof![
            (message(), any::<u64>(), recipients()).prop_map(|(message, version, recipients)| Item::Deliver {
                message,
                version,
                recipients
            }),
            (message(), recipients()).prop_map(|(message, recipients)| Item::Relay { message, recipients }),
            any::<Vec<u64>>().prop_map(|users| Item::NotHere { users }),
            any::<Vec<u64>>().prop_map(|users| Item::Online { users }),
            any::<(u64, u64)>().prop_map(|(user, epoch)| Item::Yield { user, epoch }),
            any::<u64>().prop_map(|user| Item::Yielded { user }),
            (any::<(u64, u64, u64)>(), moved()).prop_map(|((a, b, version), moved)| Item::Changed {
                conv: Conversation::direct(a, b),
                version,
                moved
            }),
            any::<(String, Vec<u64>)>().prop_map(|(event, users)| Item::Event { event, users }),
            any::<u64>().prop_map(|asked_at| Item::Ping { asked_at }),
            any::<(u64, i64)>().prop_map(|(asked_at, boot)| Item::Pong { asked_at, boot }),
            (any::<(u64, u64)>(), proptest::sample::select(EndReason::VARIANTS))
                .prop_map(|((user, epoch), reason)| Item::End { user, epoch, reason }),
            any::<(u64, u64)>().prop_map(|(user, epoch)| Item::InTheWay { user, epoch }),
        ]
    }

    proptest! {
        #[test]
        fn envelope_reads_back(boot in 1..i64::MAX, number: u64, items in proptest::collection::vec(item(), 0..6)) {
            let from = key("one:8001", boot);
            let bytes = encode(&from, number, &items);
            prop_assert_eq!(decode(&bytes), Ok(Envelope { from, number, items }));
        }

        #[test]
        fn weight_covers_the_bytes(item in item()) {
            let from = key("one", 1);
            let bytes = encode(&from, 1, [&item]).len() - encode(&from, 1, []).len();
            prop_assert!(bytes <= item.weight_bytes(), "{} bytes, weight {}", bytes, item.weight_bytes());
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
            let _ = decode(&[&[VERSION], bytes.as_slice()].concat());
            let _ = decode(&signed(&bytes));
        }

        #[test]
        fn damage_is_noticed(items in proptest::collection::vec(item(), 1..3), at: prop::sample::Index, bit in 0..8u8) {
            let mut bytes = encode(&key("one", 1), 1, &items);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&bytes).is_err());
            prop_assert!(decode(&bytes[..at]).is_err());
        }

        #[test]
        fn no_signed_nonsense_panics(item in item(), at: prop::sample::Index, bit in 0..8u8) {
            let mut rest = encode(&key("one", 1), 1, [&item]).split_off(1 + SIGNATURE_BYTES);
            let at = at.index(rest.len());
            rest[at] ^= 1 << bit;
            let _ = decode(&signed(&rest));
            let _ = decode(&signed(&rest[..at]));
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        let long_name = "x".repeat(MAX_NODE_ID_BYTES + 1);
        let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 1].to_vec();
        for (what, bytes) in [
            ("nothing", vec![]),
            ("other version", vec![VERSION + 1, 0, 0]),
            ("text", b"hello".to_vec()),
            ("version only", vec![VERSION]),
            ("empty sender", encode(&key("", 1), 1, [])),
            ("long sender", encode(&key(&long_name, 1), 1, [])),
            ("boot not positive", encode(&key("one", 0), 1, [])),
            ("cut short", cut(encode(&key("one", 1), 1, [&Item::Yielded { user: 3 }]))),
            ("cut short and signed", signed(&cut(encode(&key("one", 1), 1, [&Item::Yielded { user: 3 }]))[33..])),
            ("no signature", [&[VERSION], &encode(&key("one", 1), 1, [])[33..]].concat()),
            ("too long", vec![VERSION; MAX_BYTES + 1]),
        ] {
            assert!(decode(&bytes).is_err(), "{what}");
        }
    }

    #[test]
    fn only_the_cluster_can_write_to_a_channel() {
        let (from, item) = (key("one", 1), Item::Yielded { user: 3 });
        let others = BusKey::new(&ClusterSecret([8; 32])).seal("chat:node:two");
        let elsewhere = BusKey::new(&ClusterSecret([7; 32])).seal("chat:node:three");
        for seal in [others, elsewhere] {
            assert_eq!(decode(&super::encode(&seal, &from, 1, [&item])), Err(Undecodable::Signature));
        }
        assert!(decode(&encode(&from, 1, [&item])).is_ok());
    }
}
