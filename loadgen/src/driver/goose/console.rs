//! The terminal, which goose takes for its own: what it says goes to standard error, beside our own progress, and
//! Ctrl-C stays with us, so that it does the same under any driver.
//!
//! What goose says is also the only way to learn that it has started all its users and counts afresh from here on.

use log::{Level, LevelFilter, Log, Metadata, Record};
use tokio::sync::Notify;

/// What it says of where its dashboard is.
const LISTENS: &str = "[dashboard]: listening";
/// What it says when it has started all its users, and has put what it counted until then away.
const HOLDS: &str = "entering GooseAttack phase: Maintain";

/// Told when goose says so.
pub(super) static HOLDING: Notify = Notify::const_new();

struct Console;

impl Log for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("goose") && metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = record.args().to_string();
        if record.level() <= Level::Warn || text.starts_with(LISTENS) {
            eprintln!("loadgen: goose: {text}");
        } else if text == HOLDS {
            HOLDING.notify_one();
        }
    }

    fn flush(&self) {}
}

/// Shows what goose says from now on. goose's own logger writes to standard output, where the result goes.
pub(super) fn listen() {
    // Fails only where it was done before.
    let _ = log::set_logger(&Console);
    log::set_max_level(LevelFilter::Info);
}

/// What Ctrl-C does.
pub(super) struct Interrupts(libc::sigaction);

impl Interrupts {
    /// Remembers it before goose changes it.
    pub(super) fn kept() -> Interrupts {
        // SAFETY: all zeroes is a lawful value of this structure, which lives through the call that fills it.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGINT, std::ptr::null(), &raw mut action);
            Interrupts(action)
        }
    }

    /// Makes it as it was.
    pub(super) fn give_back(self) {
        // SAFETY: the action is one that the kernel had before.
        unsafe { libc::sigaction(libc::SIGINT, &raw const self.0, std::ptr::null_mut()) };
    }
}
