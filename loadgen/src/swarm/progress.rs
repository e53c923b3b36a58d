//! Shows, where a run shows how it goes, how all members together do; and tells the others how this one does.

use super::row::{Latest, line};
use super::state::State;
use crate::run::{Moment, Progress};
use std::sync::Arc;

/// Stands between a run and what shows it.
pub struct Together {
    pub progress: Arc<dyn Progress>,
    pub state: Arc<State>,
}

impl Progress for Together {
    fn phase(&self, name: &'static str, steps: u64) {
        self.progress.phase(name, steps);
    }

    fn advance(&self, steps: u64) {
        self.progress.advance(steps);
    }

    /// The run's own line, until something was heard of the others.
    fn message(&self, text: String) {
        let view = self.state.view();
        let count = self.state.shard.count;
        self.progress.message(if view.rows.is_empty() { text } else { line(&view.rows, &view.dead, count) });
    }

    fn moment(&self, now: &dyn Fn() -> Moment) {
        let latest = Latest::of(&now());
        self.state.change(|row| row.latest = latest);
        self.progress.moment(now);
    }

    fn finish(&self) {
        self.progress.finish();
    }
}
