//! What a person sees while a run goes on: on standard error, a bar where that is a terminal, else a few lines.

use crate::run::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Between two lines about how a phase goes, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A line as each phase begins, and one now and then about how it goes: for a log.
#[derive(Debug, Default)]
pub struct Lines {
    last: Mutex<Option<Instant>>,
}

impl Progress for Lines {
    fn phase(&self, name: &'static str, _steps: u64) {
        *self.last.lock() = None;
        eprintln!("loadgen: {name}");
    }

    fn advance(&self, _steps: u64) {}

    fn message(&self, text: String) {
        let mut last = self.last.lock();
        if last.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            *last = Some(Instant::now());
            eprintln!("loadgen: {text}");
        }
    }

    fn finish(&self) {}
}

/// A bar on standard error.
#[derive(Debug, Default)]
pub struct Bar {
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress for Bar {
    fn phase(&self, name: &'static str, steps: u64) {
        self.finish();
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        let template = if steps == 0 { "{spinner} {prefix}" } else { "{prefix:>20} {bar:24} {percent:>3} %  {msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(name);
        bar.enable_steady_tick(Duration::from_millis(200));
        *self.bar.lock() = Some(bar);
    }

    fn advance(&self, steps: u64) {
        if let Some(bar) = &*self.bar.lock() {
            bar.inc(steps);
        }
    }

    fn message(&self, text: String) {
        if let Some(bar) = &*self.bar.lock() {
            bar.set_message(text);
        }
    }

    fn finish(&self) {
        if let Some(bar) = self.bar.lock().take() {
            bar.finish_and_clear();
        }
    }
}
