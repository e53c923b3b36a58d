//! Who is told how a run goes on.

/// Is told how a run goes on.
pub trait Progress: Send + Sync {
    /// A new phase begins, of `steps` steps (0: nobody knows).
    fn phase(&self, name: &'static str, steps: u64);
    fn advance(&self, steps: u64);
    fn message(&self, text: String);
    fn finish(&self);
}

/// Shows nothing.
#[derive(Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _name: &'static str, _steps: u64) {}
    fn advance(&self, _steps: u64) {}
    fn message(&self, _text: String) {}
    fn finish(&self) {}
}
