//! What makes an envelope one of this cluster's.
//!
//! Whoever can publish at Redis could otherwise speak for any node. Each envelope is signed with HMAC-SHA-256 under a
//! key that only the nodes of one cluster have, over the channel it is for and all that it says: it can be neither made
//! up nor changed, nor sent on to another node or another cluster. That it is not repeated is for `numbering` to see.

use crate::cluster::ClusterSecret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;

pub const SIGNATURE_BYTES: usize = 32;

/// What the key is derived for; another layout of envelopes gets another.
const PURPOSE: &str = "bus envelopes";

/// What the nodes of one cluster sign with.
#[derive(Clone)]
pub struct BusKey(Hmac<Sha256>);

/// Signs what goes through one channel.
#[derive(Clone)]
pub struct Seal(Hmac<Sha256>);

impl BusKey {
    pub fn new(secret: &ClusterSecret) -> Self {
        let key = secret.key_for(PURPOSE);
        BusKey(Hmac::new_from_slice(&key).expect("HMAC takes a key of any length"))
    }

    pub fn seal(&self, channel: &str) -> Seal {
        // With the length in front, no channel's name can run into what is signed.
        let length = channel.len() as u64;
        Seal(self.0.clone().chain_update(length.to_be_bytes()).chain_update(channel))
    }
}

impl Seal {
    /// The signature over `parts`, one after the other.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        self.over(parts).finalize().into_bytes().into()
    }

    /// Whether `signature` was made over `parts`; constant time.
    pub fn verify(&self, parts: &[&[u8]], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        self.over(parts).verify_slice(signature).is_ok()
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac
    }
}

impl fmt::Debug for BusKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BusKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: u8, channel: &str) -> Seal {
        BusKey::new(&ClusterSecret([secret; 32])).seal(channel)
    }

    #[test]
    fn signature_holds_for_one_cluster_one_channel_and_these_bytes() {
        let signature = seal(1, "chat:node:a").sign(&[b"hel", b"lo"]);

        assert!(seal(1, "chat:node:a").verify(&[b"hello"], &signature));
        assert!(!seal(2, "chat:node:a").verify(&[b"hello"], &signature));
        assert!(!seal(1, "chat:node:b").verify(&[b"hello"], &signature));
        assert!(!seal(1, "chat:node:ah").verify(&[b"ello"], &signature));
        assert!(!seal(1, "chat:node:a").verify(&[b"hallo"], &signature));
    }

    #[test]
    fn key_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", BusKey::new(&ClusterSecret([1; 32]))), "BusKey(***)");
    }
}
