//! Bounds that stand both in `limits` and in `protocol`, which imports nothing of ours.

use chat::limits;
use chat::protocol::{MAX_NESTING, MAX_NODE_FRAME_BYTES};

#[test]
fn protocol_keeps_the_named_limits() {
    assert_eq!(MAX_NESTING, limits::MAX_NESTING);
    assert_eq!(MAX_NODE_FRAME_BYTES, limits::MAX_NODE_FRAME_BYTES);
}
