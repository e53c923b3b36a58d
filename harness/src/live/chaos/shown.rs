//! All there is to show of it, and how that changes.

use crate::story::Step;
use crate::users::{Conclusion, Record};
use judge::history::{Entry, Event, Who};
use loadgen::live::{Audience, Ending, Moments};
use serde::Serialize;
use std::collections::BTreeSet;

/// A look that comes sooner, since the story has come to its next part, makes none.
const SHORTEST_MS: u64 = 250;

/// What is to be told, for a person who looks.
#[derive(Clone, Debug, Default, Serialize)]
pub struct About {
    pub title: String,
    pub seed: u64,
    pub command: String,
    pub users: usize,
    /// Runs of a search, at most.
    pub search_runs: usize,
}

/// All there is to show.
#[derive(Debug, Serialize)]
pub(super) struct Chaos {
    about: About,
    pub phase: Phase,
    steps: usize,
    faults: Vec<Fault>,
    moments: Moments<Moment>,
    pub is_stopped: bool,
    pub judged: Option<Judged>,
    pub search: Vec<Run>,
    pub ending: Option<Ending>,
    #[serde(skip)]
    seen: Seen,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Phase {
    name: PhaseName,
    text: &'static str,
    /// Steps that have begun.
    pub begun: usize,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PhaseName {
    Starting,
    Gathering,
    Breaking,
    Healing,
    Waiting,
    Judging,
    Searching,
}

/// A fault of the schedule.
#[derive(Clone, Debug, Serialize)]
struct Fault {
    /// The number of its step in the whole schedule.
    step: usize,
    what: String,
    after_s: f64,
    lasting_s: f64,
    state: State,
    from_s: Option<f64>,
    to_s: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Coming,
    Active,
    Healed,
    /// The story came to no end before it healed.
    LeftBroken,
    LeftOut,
}

/// One of the faults, as it is from now on.
#[derive(Serialize)]
struct Changed<'f> {
    place: usize,
    fault: &'f Fault,
}

/// What happened since the moment before, and who is online at its end.
#[derive(Debug, Serialize)]
struct Moment {
    at_ms: u64,
    length_ms: u64,
    acked: usize,
    delivered: usize,
    online: usize,
}

/// What the story came to.
#[derive(Debug, Serialize)]
pub(super) struct Judged {
    pub verdict: &'static str,
    summary: String,
    promises: Vec<Promise>,
}

#[derive(Debug, Serialize)]
struct Promise {
    name: String,
    judged: u64,
    open: u64,
    violated: u64,
}

/// One of the search for the fewest steps.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub steps: String,
    /// `None` while it is under way.
    pub came_to: Option<String>,
}

/// Up to where the record was looked at.
#[derive(Debug, Default)]
struct Seen {
    place: usize,
    at_ms: u64,
    acked: usize,
    delivered: usize,
    online: BTreeSet<Who>,
}

impl Chaos {
    pub fn new<'s>(about: About, steps: impl IntoIterator<Item = (usize, &'s Step)>) -> Chaos {
        let mut faults = Vec::new();
        let mut count = 0;
        for (number, Step { pause, faults: together, lasting }) in steps {
            count += 1;
            faults.extend(together.iter().map(|fault| Fault {
                step: number,
                what: fault.to_string(),
                after_s: pause.as_secs_f64(),
                lasting_s: lasting.as_secs_f64(),
                state: State::Coming,
                from_s: None,
                to_s: None,
            }));
        }
        Chaos {
            about,
            phase: Phase::new(PhaseName::Starting, 0),
            steps: count,
            faults,
            moments: Moments::default(),
            is_stopped: false,
            judged: None,
            search: Vec::new(),
            ending: None,
            seen: Seen::default(),
        }
    }

    pub fn enter(&mut self, name: PhaseName, audience: &mut Audience) {
        self.phase = Phase::new(name, self.phase.begun);
        audience.tell("phase", &self.phase);
    }

    pub fn stop(&mut self, audience: &mut Audience) -> Result<String, String> {
        let Phase { name, begun, .. } = self.phase;
        if self.is_stopped || name != PhaseName::Breaking || begun == self.steps {
            return Err("there is no step under way that others are to follow".into());
        }
        self.is_stopped = true;
        audience.tell("is_stopped", &true);
        Ok("no further step: once this one is over all heals, and the story ends as ever".into())
    }

    pub fn stopped_after(&self) -> Option<usize> {
        (self.is_stopped && self.phase.begun < self.steps).then_some(self.phase.begun)
    }

    /// What is still to come does not.
    pub fn close(&mut self, audience: &mut Audience) {
        for fault in &mut self.faults {
            match fault.state {
                State::Coming => fault.state = State::LeftOut,
                State::Active => fault.state = State::LeftBroken,
                State::Healed | State::LeftBroken | State::LeftOut => {}
            }
        }
        // As one event: a viewer's queue has no room for one of each fault of a long schedule.
        audience.tell("faults", &self.faults);
    }

    /// `now` is in microseconds of the record.
    pub fn look(&mut self, record: &Record, now: u64, audience: &mut Audience) {
        self.seen.place = record.show_from(self.seen.place, |entry| self.read(entry, audience));
        let (at_ms, acked, delivered) = (now / 1_000, record.acked(), record.delivered());
        let length_ms = at_ms - self.seen.at_ms;
        if length_ms < SHORTEST_MS {
            return;
        }
        let users: BTreeSet<_> = self.seen.online.iter().map(|who| who.user).collect();
        let moment = Moment {
            at_ms: self.seen.at_ms,
            length_ms,
            acked: acked - self.seen.acked,
            delivered: delivered - self.seen.delivered,
            online: users.len(),
        };
        (self.seen.at_ms, self.seen.acked, self.seen.delivered) = (at_ms, acked, delivered);
        audience.tell("moment", &moment);
        self.moments.add(moment);
    }

    fn read(&mut self, Entry { t, event }: &Entry, audience: &mut Audience) {
        match event {
            Event::Login { user, session, .. } => drop(self.seen.online.insert(Who { user: *user, session: *session })),
            Event::End { user, session, .. } => drop(self.seen.online.remove(&Who { user: *user, session: *session })),
            Event::Fault { what, healed } => self.change(what, *healed, *t as f64 / 1e6, audience),
            _ => {}
        }
    }

    /// Faults come in the order of the schedule.
    fn change(&mut self, what: &str, is_healed: bool, at_s: f64, audience: &mut Audience) {
        let before = if is_healed { State::Active } else { State::Coming };
        let is_it = |(_, fault): &(usize, &mut Fault)| fault.state == before && fault.what == what;
        let Some((place, fault)) = self.faults.iter_mut().enumerate().find(is_it) else { return };
        match is_healed {
            true => (fault.state, fault.to_s) = (State::Healed, Some(at_s)),
            false => (fault.state, fault.from_s) = (State::Active, Some(at_s)),
        }
        audience.tell("fault", &Changed { place, fault });
    }
}

impl Phase {
    fn new(name: PhaseName, begun: usize) -> Phase {
        Phase { name, text: name.text(), begun }
    }
}

impl PhaseName {
    /// What is under way, in words.
    fn text(self) -> &'static str {
        match self {
            PhaseName::Starting => "starting a cluster",
            PhaseName::Gathering => "people gather",
            PhaseName::Breaking => "breaking",
            PhaseName::Healing => "healing",
            PhaseName::Waiting => "waiting for what has not arrived",
            PhaseName::Judging => "judging",
            PhaseName::Searching => "looking for the fewest steps",
        }
    }
}

impl Judged {
    pub fn of(told: &anyhow::Result<Conclusion>) -> Judged {
        let conclusion = match told {
            Ok(conclusion) => conclusion,
            Err(error) => {
                return Judged { verdict: "no end", summary: format!("{error:#}"), promises: Vec::new() };
            }
        };
        let promises = conclusion.judgement.findings.iter().map(|finding| Promise {
            name: format!("{} {}", finding.guarantee, finding.guarantee.title()),
            judged: finding.judged,
            open: finding.open,
            violated: finding.violated,
        });
        Judged {
            verdict: conclusion.verdict().name(),
            summary: conclusion.summary.to_string(),
            promises: promises.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen::live::Board;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn steps() -> Vec<Step> {
        let step = |faults: &[&str]| Step {
            pause: Duration::from_millis(500),
            faults: faults.iter().map(|fault| fault.parse().expect("a fault")).collect(),
            lasting: Duration::from_secs(2),
        };
        vec![step(&["kill node-1", "pause redis"]), step(&["kill node-1"])]
    }

    fn board() -> Board<Chaos> {
        Board::new(Chaos::new(About::default(), (1..).zip(&steps())))
    }

    fn look(board: &Board<Chaos>, record: &Record) -> Value {
        board.show(|chaos, audience| {
            chaos.look(record, 0, audience);
            json!(chaos)
        })
    }

    fn states(shown: &Value) -> Vec<&str> {
        let faults = shown["faults"].as_array().expect("a list");
        faults.iter().map(|fault| fault["state"].as_str().expect("a state")).collect()
    }

    #[test]
    fn faults_come_and_heal_as_the_record_says() {
        let (board, record) = (board(), Record::default());
        let note = |what: &str, healed| record.note(Event::Fault { what: what.into(), healed });
        assert_eq!(states(&look(&board, &record)), ["coming"; 3]);
        note("kill node-1", false);
        note("pause redis", false);
        assert_eq!(states(&look(&board, &record)), ["active", "active", "coming"]);
        note("pause redis", true);
        note("kill node-1", true);
        note("kill node-1", false);
        let shown = look(&board, &record);
        assert_eq!(states(&shown), ["healed", "healed", "active"]);
        assert!(shown["faults"][0]["to_s"].as_f64() >= shown["faults"][0]["from_s"].as_f64());
        assert_eq!(shown["faults"][2]["step"], 2);
    }

    #[test]
    fn users_who_are_logged_in_twice_are_online_once() {
        let (board, record) = (board(), Record::default());
        let login = |user, session| record.note(Event::Login { user, session, node: None, waiting: 0 });
        for (user, session) in [(1, 1), (2, 1), (1, 2)] {
            login(user, session);
        }
        record.note(Event::End { user: 2, session: 1, why: "gone".into() });
        board.show(|chaos, audience| chaos.look(&record, 1_000_000, audience));
        assert_eq!(board.read(|chaos| chaos.moments.kept()[0].online), 1);
    }

    #[test]
    fn steps_can_be_left_out_only_while_one_is_under_way_and_others_are_to_come() {
        let board = board();
        let at = |name, begun| board.show(|chaos, _| chaos.phase = Phase::new(name, begun));
        let stop = || board.show(Chaos::stop);
        assert!(stop().is_err(), "a story without any fault proves nothing");
        at(PhaseName::Breaking, 2);
        assert!(stop().is_err(), "nothing would be left out");
        at(PhaseName::Breaking, 1);
        assert!(stop().is_ok() && stop().is_err());
        assert_eq!(board.read(Chaos::stopped_after), Some(1));
        board.show(|chaos, audience| {
            chaos.faults[0].state = State::Active;
            chaos.close(audience);
            assert_eq!(states(&json!(chaos)), ["left_broken", "left_out", "left_out"]);
        });
        at(PhaseName::Breaking, 2);
        assert_eq!(board.read(Chaos::stopped_after), None, "the last one had begun by then");
    }

    #[test]
    fn a_story_is_judged_promise_by_promise() {
        let shown = json!(Judged::of(&Ok(crate::users::sample())));
        assert_eq!(shown["verdict"], "invalid");
        let lost = json!({ "name": "G2 delivered, once", "judged": 2, "open": 0, "violated": 1 });
        assert_eq!(shown["promises"][1], lost);
        let without_end = json!(Judged::of(&Err(anyhow::anyhow!("the engine hangs"))));
        assert_eq!((&without_end["verdict"], &without_end["summary"]), (&json!("no end"), &json!("the engine hangs")));
    }
}
