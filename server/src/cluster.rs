//! How nodes of a cluster name each other, and the secret that they share.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use strum::{FromRepr, VariantArray};

/// A node's configured name, unique in the cluster; at most [`MAX_NODE_ID_BYTES`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub Arc<str>);

/// As wide as the column that holds it.
pub const MAX_NODE_ID_BYTES: usize = 64;

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&str> for NodeId {
    fn from(name: &str) -> Self {
        NodeId(name.into())
    }
}

/// One run of a node: sessions of an earlier run under the same name are not this run's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeKey {
    pub id: NodeId,
    /// Differs between any two runs of a node, and grows unless the clock was set back; positive.
    pub boot: i64,
}

/// Why a node is asked to end a session. The numbers stand in the session's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, FromRepr, VariantArray)]
#[repr(u8)]
pub enum EndReason {
    /// Its user logs in on another node.
    #[default]
    LoginElsewhere = 0,
    /// An operator wants it to end.
    Kicked = 1,
    AccountDisabled = 2,
    PasswordReset = 3,
}

/// The one secret of a cluster, kept in its database. Tokens are signed with it as it is, and stay valid; whatever else
/// needs a key gets one of its own. It never appears in a log.
#[derive(Clone)]
pub struct ClusterSecret(pub [u8; 32]);

/// What goes into HMAC before a purpose. What a token is made of begins with another byte (its layout, a small number),
/// so no token is ever a key.
const DERIVATION: &str = "chat: key for ";

impl ClusterSecret {
    /// The key for one purpose. Whoever has it learns neither the secret nor another key.
    pub fn key_for(&self, purpose: &str) -> [u8; 32] {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.chain_update(DERIVATION).chain_update(purpose).finalize().into_bytes().into()
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_has_its_own_key() {
        let (one, other) = (ClusterSecret([1; 32]), ClusterSecret([2; 32]));

        assert_eq!(one.key_for("a"), ClusterSecret([1; 32]).key_for("a"));
        assert_ne!(one.key_for("a"), one.key_for("b"));
        assert_ne!(one.key_for("a"), other.key_for("a"));
        assert_ne!(one.key_for("a"), one.0);
        assert_eq!(format!("{one:?}"), "ClusterSecret(***)");
    }
}
