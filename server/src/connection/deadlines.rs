//! Everything on a connection that must happen in time, behind one timer.
//!
//! Each deadline is kept as the instant it counts from; the timer is set to the earliest and asks [`Deadlines::due`]
//! when it fires. On the busy path nothing is re-armed: a deadline that moved later is only noticed then.

use crate::config::limits::Limits;
use std::time::Duration;
use tokio::time::Instant;

/// PINGs that may stay unanswered before the connection is closed.
const MAX_PINGS: u8 = 2;

pub struct Deadlines {
    prelogin: Duration,
    frame: Duration,
    heartbeat: Duration,
    write: Duration,
    linger: Duration,
    last_heard: Instant,
    pings: u8,
    heartbeats: bool,
    /// Set while nobody is logged in.
    silent_since: Option<Instant>,
    frame_begun: Option<Instant>,
    write_blocked: Option<Instant>,
    look_at_kernel: Option<Instant>,
    closing_since: Option<Instant>,
}

/// What the timer fired for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    LookAtKernel,
    Ping,
    /// Two PINGs were not answered.
    Silent,
    NotLoggedIn,
    FrameTooSlow,
    ReadsTooSlowly,
    LingeredEnough,
}

impl Deadlines {
    pub fn new(limits: &Limits, now: Instant) -> Self {
        Deadlines {
            prelogin: Duration::from_secs(limits.prelogin_timeout_s),
            frame: Duration::from_secs(limits.frame_timeout_s),
            heartbeat: Duration::from_secs(limits.heartbeat_s),
            write: Duration::from_secs(limits.write_timeout_s),
            linger: Duration::from_millis(limits.close_linger_ms),
            last_heard: now,
            pings: 0,
            heartbeats: true,
            silent_since: Some(now),
            frame_begun: None,
            write_blocked: None,
            look_at_kernel: None,
            closing_since: None,
        }
    }

    pub fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.pings = 0;
        if self.silent_since.is_some() {
            self.silent_since = Some(now);
        }
    }

    /// The dialect has no PING.
    pub fn no_heartbeat(&mut self) {
        self.heartbeats = false;
    }

    pub fn logged_in(&mut self) {
        self.silent_since = None;
    }

    pub fn logged_out(&mut self, now: Instant) {
        self.silent_since = Some(now);
    }

    /// Part of a frame is there. `anew`: others were completed before it.
    pub fn frame_begun(&mut self, now: Instant, anew: bool) {
        if anew || self.frame_begun.is_none() {
            self.frame_begun = Some(now);
        }
    }

    pub fn frame_done(&mut self) {
        self.frame_begun = None;
    }

    pub fn write_blocked(&mut self, now: Instant) {
        self.write_blocked.get_or_insert(now);
    }

    pub fn wrote(&mut self) {
        self.write_blocked = None;
    }

    pub fn look_at_kernel(&mut self, at: Instant) {
        self.look_at_kernel.get_or_insert(at);
    }

    pub fn closing(&mut self, now: Instant) {
        self.closing_since = Some(now);
    }

    /// The earliest of all.
    pub fn next(&self, now: Instant) -> Instant {
        self.all().into_iter().flatten().map(|(at, _)| at).min().unwrap_or(now + self.heartbeat)
    }

    /// What is overdue; the most pressing where it is several.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        let due = self.all().into_iter().flatten().find(|(at, _)| *at <= now).map(|(_, due)| due)?;
        match due {
            Due::LookAtKernel => self.look_at_kernel = None,
            Due::Ping => {
                self.pings += 1;
            }
            // The caller closes; the linger time takes over once it has settled.
            Due::Silent | Due::NotLoggedIn | Due::FrameTooSlow | Due::ReadsTooSlowly => self.stop(),
            Due::LingeredEnough => {}
        }
        Some(due)
    }

    fn stop(&mut self) {
        self.heartbeats = false;
        self.silent_since = None;
        self.frame_begun = None;
        self.write_blocked = None;
    }

    fn all(&self) -> [Option<(Instant, Due)>; 6] {
        if let Some(since) = self.closing_since {
            return [Some((since + self.linger, Due::LingeredEnough)), None, None, None, None, None];
        }
        let heartbeat = self.heartbeats.then(|| {
            let due = if self.pings < MAX_PINGS { Due::Ping } else { Due::Silent };
            (self.last_heard + self.heartbeat * (u32::from(self.pings) + 1), due)
        });
        [
            self.write_blocked.map(|since| (since + self.write, Due::ReadsTooSlowly)),
            self.frame_begun.map(|since| (since + self.frame, Due::FrameTooSlow)),
            self.silent_since.map(|since| (since + self.prelogin, Due::NotLoggedIn)),
            // Before login the silence has its own, longer limit.
            if self.silent_since.is_none() { heartbeat } else { None },
            self.look_at_kernel.map(|at| (at, Due::LookAtKernel)),
            None,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limits: Limits, prepare: impl FnOnce(&mut Deadlines, Instant), after: Duration, expected: Due) {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(&limits, start);
        prepare(&mut deadlines, start);
        assert_eq!(deadlines.next(start), start + after);
        assert_eq!(deadlines.due(start + after - Duration::from_millis(1)), None);
        assert_eq!(deadlines.due(start + after), Some(expected));
    }

    #[test]
    fn each_deadline_comes_in_its_time() {
        let seconds = Duration::from_secs;
        check(Limits::default(), |_, _| {}, seconds(120), Due::NotLoggedIn);
        check(Limits::default(), |deadlines, _| deadlines.logged_in(), seconds(30), Due::Ping);
        check(Limits::default(), |deadlines, now| deadlines.frame_begun(now, true), seconds(10), Due::FrameTooSlow);
        check(Limits::default(), |deadlines, now| deadlines.write_blocked(now), seconds(10), Due::ReadsTooSlowly);
        check(Limits::default(), |deadlines, now| deadlines.closing(now), seconds(1), Due::LingeredEnough);
    }

    #[test]
    fn a_client_that_answers_no_ping_is_given_up_after_two() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(&Limits::default(), start);
        deadlines.logged_in();
        for due in [Due::Ping, Due::Ping, Due::Silent] {
            let at = deadlines.next(start);
            assert_eq!(deadlines.due(at), Some(due));
        }
    }

    #[test]
    fn a_dripping_frame_is_not_given_more_time_by_each_byte() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(&Limits::default(), start);
        deadlines.logged_in();
        deadlines.frame_begun(start, true);
        for second in 1..10 {
            let now = start + Duration::from_secs(second);
            deadlines.heard(now);
            deadlines.frame_begun(now, false);
            assert_eq!(deadlines.due(now), None);
        }
        assert_eq!(deadlines.due(start + Duration::from_secs(10)), Some(Due::FrameTooSlow));
    }
}
