//! What is shown of faults at random, while people chat and in the search for the fewest steps that fail.

mod shown;

pub use shown::About;

use super::open;
use crate::story::{Part, Step, Watcher};
use crate::users::{Conclusion, Record};
use loadgen::live::{Address, Board, Ending, Error, Live};
use parking_lot::Mutex;
use shown::{Chaos, Judged, PhaseName, Run};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Between two looks into the record. Each makes a moment.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The page of one `harness chaos`; served until this is dropped.
pub struct Page {
    board: Arc<Board<Chaos>>,
    record: Mutex<Option<Arc<Record>>>,
    /// Ends with this.
    looking: Mutex<JoinSet<()>>,
    live: Live,
}

impl Page {
    /// Serves the page, and says where. `steps` are told in this order; each has its number.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub fn open<'s>(
        address: &Address,
        about: About,
        steps: impl IntoIterator<Item = (usize, &'s Step)>,
    ) -> Result<Page, Error> {
        let board = Arc::new(Board::new(Chaos::new(about, steps)));
        let steered = board.clone();
        let stop = move || steered.show(Chaos::stop);
        let live = open(address, "harness chaos", include_str!("chaos/page.js"), &board, stop)?;
        Ok(Page { board, record: Mutex::default(), looking: Mutex::default(), live })
    }

    /// What to open in a browser.
    pub fn url(&self) -> &str {
        self.live.url()
    }

    /// How many steps were told, where a viewer wanted no more and more were to come.
    pub fn stopped_after(&self) -> Option<usize> {
        self.board.read(Chaos::stopped_after)
    }

    /// The story is over.
    pub fn told(&self, told: &anyhow::Result<Conclusion>) {
        self.look();
        self.looking.lock().abort_all();
        self.board.show(|chaos, audience| {
            chaos.judged = Some(Judged::of(told));
            audience.tell("judged", &chaos.judged);
            chaos.close(audience);
        });
    }

    /// The search begins a run with these steps.
    pub fn searches(&self, steps: String) {
        self.board.show(|chaos, audience| {
            chaos.enter(PhaseName::Searching, audience);
            chaos.search.push(Run { steps, came_to: None });
            audience.tell("search", &chaos.search);
        });
    }

    /// The run under way came to this.
    pub fn found(&self, came_to: String) {
        self.board.show(|chaos, audience| {
            if let Some(run) = chaos.search.last_mut() {
                run.came_to = Some(came_to);
                audience.tell("search", &chaos.search);
            }
        });
    }

    /// Shows that all is over, and lets nobody in any more. `why` is what is wrong.
    pub fn end(&self, why: Option<String>) {
        self.board.show(|chaos, audience| {
            let verdict = chaos.judged.as_ref().map_or("not run", |judged| judged.verdict);
            let ending = Ending { verdict, reasons: why.into_iter().collect(), ..Ending::default() };
            audience.tell("end", &ending);
            chaos.ending = Some(ending);
            audience.close();
        });
    }

    fn look(&self) {
        if let Some(record) = self.record.lock().as_ref() {
            self.board.show(|chaos, audience| chaos.look(record, record.now(), audience));
        }
    }
}

impl Watcher for Page {
    fn begins(&self, record: &Arc<Record>) {
        *self.record.lock() = Some(record.clone());
        self.board.show(|chaos, audience| chaos.enter(PhaseName::Gathering, audience));
        let (board, record) = (self.board.clone(), record.clone());
        self.looking.lock().spawn(async move {
            let mut pace = tokio::time::interval(LOOK_EVERY);
            loop {
                pace.tick().await;
                board.show(|chaos, audience| chaos.look(&record, record.now(), audience));
            }
        });
    }

    fn comes_to(&self, part: Part) {
        self.look();
        self.board.show(|chaos, audience| {
            let name = match part {
                Part::Recovery => PhaseName::Healing,
                Part::Arrivals => PhaseName::Waiting,
                Part::Judgement => PhaseName::Judging,
            };
            chaos.enter(name, audience);
        });
    }

    fn wants(&self, step: usize) -> bool {
        self.look();
        // Under one lock, so that a stop comes either before the step or while it is under way.
        self.board.show(|chaos, audience| {
            if !chaos.is_stopped {
                chaos.phase.begun = step + 1;
                chaos.enter(PhaseName::Breaking, audience);
            }
            !chaos.is_stopped
        })
    }
}
