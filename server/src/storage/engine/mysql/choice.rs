//! Which of several servers is used: a state machine without clock, task or connection.
//!
//! The first of the list that is ready. One that says it is not, or that nobody answers for, is left at once; one that
//! is silent only after [`SILENCE`], and only for another that is ready, since it may be nothing but busy. The node
//! goes back to a preferred one that has been ready for [`STEADY`], so one that comes and goes is not followed each
//! time.

use std::time::Duration;
use tokio::time::Instant;

/// For how long the server in use may be silent while another is ready.
pub const SILENCE: Duration = Duration::from_secs(2);
/// For how long a preferred server must have been ready before it is gone back to.
pub const STEADY: Duration = Duration::from_secs(10);

/// What a look at a server has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Ready,
    /// It says so itself.
    NotReady(String),
    /// Nobody is there: refused, reset, unknown.
    Gone(String),
    /// No answer, or none that means anything.
    Silent(String),
}

/// One server as it was last seen.
#[derive(Default)]
struct Standing {
    seen: Option<Seen>,
    ready_since: Option<Instant>,
    silent_since: Option<Instant>,
}

impl Standing {
    fn is_ready(&self) -> bool {
        self.seen == Some(Seen::Ready)
    }
}

pub struct Choice {
    servers: Vec<Standing>,
    current: Option<usize>,
}

impl Choice {
    pub fn new(servers: usize) -> Self {
        Choice { servers: (0..servers).map(|_| Standing::default()).collect(), current: None }
    }

    /// What a look at a server has shown that began at `asked_at`.
    pub fn note(&mut self, server: usize, seen: Seen, asked_at: Instant) {
        let Some(of) = self.servers.get_mut(server) else { return };
        of.ready_since = (seen == Seen::Ready).then(|| of.ready_since.unwrap_or(asked_at));
        of.silent_since = matches!(seen, Seen::Silent(_)).then(|| of.silent_since.unwrap_or(asked_at));
        of.seen = Some(seen);
    }

    /// The server to use from here on.
    pub fn decide(&mut self, now: Instant) -> Option<usize> {
        let first_ready = self.servers.iter().position(Standing::is_ready);
        self.current = match self.current {
            Some(current) if self.may_stay(current, now) => self.steady_before(current, now).or(Some(current)),
            // Silent, but there is none better.
            Some(current) if first_ready.is_none() && self.servers[current].silent_since.is_some() => Some(current),
            Some(_) => first_ready,
            // At the start each that is preferred is heard first.
            None => first_ready.filter(|ready| self.servers[..*ready].iter().all(|server| server.seen.is_some())),
        };
        self.current
    }

    /// Why the server was not ready when it was last seen.
    pub fn trouble(&self, server: usize) -> Option<&str> {
        match self.servers.get(server)?.seen.as_ref() {
            Some(Seen::Ready) => None,
            Some(Seen::NotReady(why) | Seen::Gone(why) | Seen::Silent(why)) => Some(why),
            None => Some("not heard of yet"),
        }
    }

    fn may_stay(&self, current: usize, now: Instant) -> bool {
        let server = &self.servers[current];
        server.is_ready() || server.silent_since.is_some_and(|since| now < since + SILENCE)
    }

    fn steady_before(&self, current: usize, now: Instant) -> Option<usize> {
        let is_steady = |server: &Standing| server.ready_since.is_some_and(|since| now >= since + STEADY);
        self.servers[..current].iter().position(is_steady)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: Seen = Seen::Ready;

    fn not_ready() -> Seen {
        Seen::NotReady("read_only is on".into())
    }

    fn gone() -> Seen {
        Seen::Gone("refused".into())
    }

    fn silent() -> Seen {
        Seen::Silent("no answer".into())
    }

    /// A choice among servers, and a clock that starts at 0.
    struct Course {
        choice: Choice,
        start: Instant,
    }

    impl Course {
        fn new(servers: usize) -> Self {
            Course { choice: Choice::new(servers), start: Instant::now() }
        }

        #[track_caller]
        fn at(&mut self, ms: u64, seen: &[(usize, Seen)], expected: Option<usize>) {
            let now = self.start + Duration::from_millis(ms);
            for (server, seen) in seen {
                self.choice.note(*server, seen.clone(), now);
            }
            assert_eq!(self.choice.decide(now), expected, "at {ms} ms");
        }
    }

    #[test]
    fn first_that_is_ready_is_used_once_those_before_it_are_heard() {
        let mut course = Course::new(3);
        course.at(0, &[], None);
        course.at(1, &[(1, READY)], None);
        course.at(2, &[(0, gone())], Some(1));

        let mut course = Course::new(3);
        course.at(0, &[(2, READY), (1, not_ready()), (0, READY)], Some(0));
    }

    #[test]
    fn server_that_is_demoted_or_gone_is_left_at_once() {
        for seen in [not_ready(), gone()] {
            let mut course = Course::new(3);
            course.at(0, &[(0, READY), (1, READY), (2, READY)], Some(0));
            course.at(100, &[(0, seen.clone())], Some(1));
            course.at(200, &[(1, seen.clone())], Some(2));
            course.at(300, &[(2, seen)], None);
            course.at(400, &[(1, READY)], Some(1));
        }
    }

    #[test]
    fn silent_server_is_left_after_a_while_for_one_that_is_ready() {
        let mut course = Course::new(2);
        course.at(0, &[(0, READY), (1, READY)], Some(0));
        course.at(1_000, &[(0, silent())], Some(0));
        course.at(2_999, &[(0, silent())], Some(0));
        course.at(3_000, &[(0, silent())], Some(1));

        let mut alone = Course::new(1);
        alone.at(0, &[(0, READY)], Some(0));
        alone.at(1_000, &[(0, silent())], Some(0));
        alone.at(60_000, &[(0, silent())], Some(0));
        alone.at(60_001, &[(0, not_ready())], None);
    }

    #[test]
    fn answer_ends_a_silence() {
        let mut course = Course::new(2);
        course.at(0, &[(0, READY), (1, READY)], Some(0));
        course.at(1_000, &[(0, silent())], Some(0));
        course.at(2_900, &[(0, READY)], Some(0));
        course.at(3_500, &[(0, silent())], Some(0));
        course.at(5_499, &[], Some(0));
        course.at(5_500, &[], Some(1));
    }

    #[test]
    fn preferred_server_is_gone_back_to_once_it_has_been_ready_for_a_while() {
        let mut course = Course::new(2);
        course.at(0, &[(0, gone()), (1, READY)], Some(1));
        course.at(1_000, &[(0, READY)], Some(1));
        course.at(9_000, &[(0, gone())], Some(1));
        course.at(10_000, &[(0, READY)], Some(1));
        course.at(19_999, &[(0, READY)], Some(1));
        course.at(20_000, &[(0, READY)], Some(0));
    }

    #[test]
    fn preferred_server_is_taken_at_once_where_there_is_no_other() {
        let mut course = Course::new(2);
        course.at(0, &[(0, gone()), (1, READY)], Some(1));
        course.at(1_000, &[(0, READY)], Some(1));
        course.at(1_100, &[(1, gone())], Some(0));
    }
}
