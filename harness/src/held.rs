//! Faults that last only as long as somebody holds them.

use anyhow::Result;

/// What is there as long as a fault is. Dropping it ends the fault as well.
pub trait Held: Send {
    /// Ends the fault, and returns when it has ended. May block, but not for long.
    fn release(self: Box<Self>) -> Result<()>;
}
