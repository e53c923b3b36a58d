//! The driver for the highest rates and the least of its own in the latencies: one thread that sleeps to the next due
//! time.
//!
//! A thread wakes within some fifty microseconds of the time, a timer of the runtime within a millisecond or two. It
//! writes to the sockets itself; what the kernel does not take is left to the users' own tasks.

use super::Picker;
use super::schedule::Schedule;
use crate::measure::LatencyKind;
use crate::user::Run;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Messages put into outboxes before the first is written; more would make the first late.
const BATCH: usize = 64;
/// The longest sleep, so that the end of a run is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);
/// How much later than asked the kernel may wake the thread, to save power.
const TIMER_SLACK_NANOS: libc::c_ulong = 1_000;

/// Starts the open model at `begin` (microseconds of the run's clock); the thread ends when the run stops.
pub fn start(run: &Arc<Run>, begin: u64, end: u64) -> std::io::Result<std::thread::JoinHandle<()>> {
    let run = run.clone();
    std::thread::Builder::new().name("driver".into()).spawn(move || {
        // SAFETY: the call takes a number and concerns this thread only.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, TIMER_SLACK_NANOS) };
        drive(&run, begin, end);
    })
}

fn drive(run: &Run, begin: u64, end: u64) {
    let Some(mut schedule) = Schedule::new(run.plan.rate, run.plan.arrivals, begin, run.random(3)) else { return };
    let mut picker = Picker::new(run, 4);
    let mut due = schedule.next_due();
    let mut pace = run.plan.rate;
    let mut batch: Vec<(u32, u64)> = Vec::with_capacity(BATCH);
    // To the very end, also where nothing is due any more: the rate may change, and the thread's CPU is read when the
    // measured time ends, and is gone with the thread.
    while !run.is_stopping() {
        let now = run.clock.now();
        let asked_for = run.pace.per_second();
        if asked_for != pace {
            pace = asked_for;
            // What is late stays due.
            schedule.change(pace, due.min(now));
            due = schedule.next_due();
        }
        while due <= now && due < end && batch.len() < BATCH {
            let Some(stream) = picker.next_stream() else { return };
            if run.send(stream, due) {
                batch.push((stream, due));
            } else {
                run.unsent.fetch_add(1, Ordering::Relaxed);
            }
            due = schedule.next_due();
        }
        write_out(run, &mut batch);
        let left =
            if due < end { run.clock.instant(due).saturating_duration_since(Instant::now()) } else { LONGEST_SLEEP };
        if !left.is_zero() {
            std::thread::sleep(left.min(LONGEST_SLEEP));
        }
    }
}

fn write_out(run: &Run, batch: &mut Vec<(u32, u64)>) {
    for (stream, due) in batch.drain(..) {
        run.sender(stream).flush();
        run.recorder.record(LatencyKind::Lateness, run.clock.now().saturating_sub(due));
    }
}

/// Closed model: puts `window` messages on the way in every stream; each that settles makes room for the next.
pub fn fill(run: &Run, window: u32) {
    run.refilling.store(true, Ordering::Relaxed);
    let mut streams: Vec<u32> = run.casts.iter().flat_map(|cast| cast.streams.clone()).collect();
    run.random(5).shuffle(&mut streams);
    for stream in streams {
        for _ in 0..window {
            if !run.send(stream, run.clock.now()) {
                run.unsent.fetch_add(1, Ordering::Relaxed);
            }
        }
        run.sender(stream).flush();
    }
}
