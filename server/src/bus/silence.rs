//! Finds the nodes that live and are not heard.
//!
//! Numbers tell what is missing before something that arrives; where nothing arrives at all, they tell nothing. Every
//! node sends its peers a heartbeat a second, so one that lives in the database and is not heard for
//! [`UNHEARD_AFTER`] is cut off from this node by the bus: what it had to tell has to be read in the log, again and
//! again while that lasts.

use super::UNHEARD_AFTER;
use crate::cluster::NodeId;
use std::collections::BTreeMap;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Silence(BTreeMap<NodeId, Peer>);

#[derive(Debug)]
struct Peer {
    /// It was heard, or its silence told.
    since: Instant,
    is_silent: bool,
}

/// What has become of a peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is not heard, `newly` or still.
    Silent { node: NodeId, newly: bool },
    /// It is heard again.
    Back(NodeId),
}

impl Silence {
    /// Something that is no repetition came from this node.
    pub(super) fn heard(&mut self, node: &NodeId, now: Instant) -> Option<Change> {
        let peer = self.0.get_mut(node)?;
        peer.since = now;
        std::mem::take(&mut peer.is_silent).then(|| Change::Back(node.clone()))
    }

    /// How many live and are not heard.
    pub(super) fn count(&self) -> usize {
        self.0.values().filter(|peer| peer.is_silent).count()
    }

    /// Whose silence is to be told now, of these that live.
    pub(super) fn look(&mut self, live: impl IntoIterator<Item = NodeId>, now: Instant) -> Vec<Change> {
        let mut before = std::mem::take(&mut self.0);
        let mut changes = Vec::new();
        for node in live {
            let mut peer = before.remove(&node).unwrap_or(Peer { since: now, is_silent: false });
            if now.saturating_duration_since(peer.since) >= UNHEARD_AFTER {
                changes.push(Change::Silent { node: node.clone(), newly: !peer.is_silent });
                peer = Peer { since: now, is_silent: true };
            }
            self.0.insert(node, peer);
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn live() -> [NodeId; 2] {
        ["a".into(), "b".into()]
    }

    fn silent(node: &str, newly: bool) -> Change {
        Change::Silent { node: node.into(), newly }
    }

    #[test]
    fn silence_is_told_again_while_it_lasts() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert_eq!(silence.look(live(), start), []);
        let almost = start + UNHEARD_AFTER - Duration::from_millis(1);
        assert_eq!(silence.look(live(), almost), []);
        assert_eq!(silence.heard(&"b".into(), almost), None);

        assert_eq!(silence.count(), 0);

        let at = start + UNHEARD_AFTER;
        assert_eq!(silence.look(live(), at), [silent("a", true)]);
        assert_eq!(silence.look(live(), at), []);
        assert_eq!(silence.count(), 1);
        assert_eq!(silence.heard(&"b".into(), at), None);
        assert_eq!(silence.look(live(), at + UNHEARD_AFTER), [silent("a", false), silent("b", true)]);
        assert_eq!(silence.heard(&"a".into(), at + UNHEARD_AFTER), Some(Change::Back("a".into())));
        assert_eq!(silence.count(), 1);
        silence.look([], at + UNHEARD_AFTER);
        assert_eq!(silence.count(), 0);
    }

    #[test]
    fn who_has_just_come_or_has_gone_is_not_silent() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        silence.look(["a".into()], start);
        assert_eq!(silence.look(["b".into()], start + UNHEARD_AFTER), []);
        assert_eq!(silence.heard(&"a".into(), start + UNHEARD_AFTER), None, "strangers are not remembered");
        assert_eq!(silence.look([], start + 2 * UNHEARD_AFTER), []);
        assert_eq!(silence.look(live(), start + 3 * UNHEARD_AFTER), []);
    }
}
