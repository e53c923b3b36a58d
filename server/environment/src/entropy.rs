//! Chance: for ids, keys, salts, and waits that must not be the same everywhere.

/// There is no randomness to be had. Whoever makes a secret must give up; whoever spreads a wait goes on without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no random numbers to be had")]
pub struct NoEntropy;

pub trait Entropy: Send + Sync {
    /// Fills `bytes` with random ones, good enough for keys.
    ///
    /// # Errors
    /// Where there are none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

/// The operating system's.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        getrandom::fill(bytes).map_err(|_| NoEntropy)
    }
}
