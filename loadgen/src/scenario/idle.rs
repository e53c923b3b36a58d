//! Users who are only there: what a connection costs.

use std::ops::Range;

pub fn lay_out(_users: Range<u32>) -> Vec<u32> {
    Vec::new()
}
