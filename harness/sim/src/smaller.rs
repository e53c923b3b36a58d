//! Schedules that are one thing smaller than another.
//!
//! Users and nodes are numbers, and leaving one out moves up those behind it. That is done on the schedule's JSON, by
//! the names of fields, so that a new step or fault need not be known here.

use crate::Schedule;
use serde_json::Value;

/// Fields that hold the number of a user, or several; `users` of the schedule itself is how many there are.
const USER: &[&str] = &["user", "friend", "users"];
/// The same of nodes.
const NODE: &[&str] = &["node", "nodes"];
/// A circle is two at least.
const FEWEST_USERS: usize = 2;
/// Gaps and lengths below this are short enough.
const SHORT_MS: u64 = 400;
/// When everybody is there.
const BEGIN_MS: u64 = 3_000;

/// For each user the schedule without them, and without what they do and suffer.
pub fn without_a_user(schedule: &Schedule) -> Vec<Schedule> {
    let most = if schedule.users > FEWEST_USERS { schedule.users } else { 0 };
    let fewer = |schedule: Schedule| Schedule { users: schedule.users - 1, ..schedule };
    (0..most).rev().filter_map(|number| without(schedule, USER, number)).map(fewer).collect()
}

/// For each node the schedule without it, and without what happens to it.
pub fn without_a_node(schedule: &Schedule) -> Vec<Schedule> {
    let most = if schedule.nodes > 1 { schedule.nodes } else { 0 };
    let fewer = |schedule: Schedule| Schedule { nodes: schedule.nodes - 1, ..schedule };
    (0..most).rev().filter_map(|number| without(schedule, NODE, number)).map(fewer).collect()
}

/// The schedule in which all speak our own dialect, if not all do.
pub fn without_dialects(schedule: &Schedule) -> Vec<Schedule> {
    let plain = Schedule { dialects: Vec::new(), ..schedule.clone() };
    if plain == *schedule { Vec::new() } else { vec![plain] }
}

/// The schedule with one bus, and without what breaks one of several, if it has several.
pub fn without_buses(schedule: &Schedule) -> Vec<Schedule> {
    let mut plain = Schedule { buses: 1, ..schedule.clone() };
    plain.faults.retain(|fault| !fault.what.is_of_one_bus());
    if plain == *schedule { Vec::new() } else { vec![plain] }
}

fn without(schedule: &Schedule, fields: &[&str], number: usize) -> Option<Schedule> {
    let number = number as u64;
    let keep = |mut value: Value| move_up(&mut value, fields, number).then_some(value);
    let remap = |list: Value| -> Value { list.as_array().into_iter().flatten().cloned().filter_map(keep).collect() };
    let mut whole = serde_json::to_value(schedule).ok()?;
    for list in ["steps", "faults"] {
        let smaller = remap(whole[list].take());
        whole[list] = smaller;
    }
    // What each user speaks is a list by their numbers.
    let mut smaller: Schedule = serde_json::from_value(whole).ok()?;
    if fields == USER && (number as usize) < smaller.dialects.len() {
        smaller.dialects.remove(number as usize);
    }
    Some(smaller)
}

/// Moves up all numbers behind the one that is left out; whether the value makes sense without that one.
fn move_up(value: &mut Value, fields: &[&str], number: u64) -> bool {
    match value {
        Value::Object(object) => object.iter_mut().all(|(name, value)| match value {
            Value::Number(_) | Value::Array(_) if fields.contains(&name.as_str()) => renumber(value, number),
            _ => move_up(value, fields, number),
        }),
        Value::Array(values) => values.iter_mut().all(|value| move_up(value, fields, number)),
        _ => true,
    }
}

fn renumber(value: &mut Value, number: u64) -> bool {
    if let Value::Array(values) = value {
        values.retain(|one| one.as_u64() != Some(number));
        return !values.is_empty() && values.iter_mut().all(|one| renumber(one, number));
    }
    match value.as_u64() {
        Some(own) if own == number => false,
        Some(own) if own > number => {
            *value = (own - 1).into();
            true
        }
        _ => true,
    }
}

/// The schedule with one time that is shorter or rounder, for each there is.
pub fn with_shorter_times(schedule: &Schedule) -> Vec<Schedule> {
    let mut moments: Vec<u64> = moments(schedule).collect();
    moments.sort_unstable();
    moments.dedup();
    let gaps = [BEGIN_MS].iter().chain(&moments).zip(&moments).filter(|(from, to)| **to >= **from + SHORT_MS);
    let sooner = gaps.map(|(from, to)| with_moments(schedule, |at| if at >= *to { at - (to - from) / 2 } else { at }));
    let shorter =
        (0..schedule.faults.len()).filter(|place| schedule.faults[*place].length_ms >= SHORT_MS).map(|place| {
            let mut shorter = schedule.clone();
            shorter.faults[place].length_ms /= 2;
            shorter
        });
    let rounder = [1_000, 100].map(|unit| with_moments(schedule, |at| at / unit * unit));
    let rounder = rounder.into_iter().filter(|rounder| rounder != schedule);
    sooner.chain(shorter).chain(rounder).collect()
}

fn moments(schedule: &Schedule) -> impl Iterator<Item = u64> {
    let steps = schedule.steps.iter().map(|step| step.at_ms);
    steps.chain(schedule.faults.iter().map(|fault| fault.at_ms))
}

fn with_moments(schedule: &Schedule, new: impl Fn(u64) -> u64) -> Schedule {
    let mut moved = schedule.clone();
    moved.steps.iter_mut().for_each(|step| step.at_ms = new(step.at_ms));
    moved.faults.iter_mut().for_each(|fault| fault.at_ms = new(fault.at_ms));
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::schedule::{Breaking, Doing, Fault, Step};

    fn schedule() -> Schedule {
        let step = |at_ms, user, friend| Step { at_ms, user, what: Doing::Write { friend, qos: 1 } };
        let fault = |at_ms, node| Fault { at_ms, length_ms: 900, what: Breaking::Pause { node } };
        let steps = vec![step(3_100, 0, 1), step(4_060, 1, 2), step(9_000, 2, 0)];
        let mut schedule = Schedule::from_seed(1, &Shape::default());
        (schedule.users, schedule.nodes) = (3, 2);
        (schedule.steps, schedule.faults) = (steps, vec![fault(5_000, 0), fault(6_000, 1)]);
        schedule
    }

    #[test]
    fn who_is_left_out_does_nothing_and_the_others_move_up() {
        let smaller = without_a_user(&schedule());
        let told: Vec<Vec<(usize, Doing)>> = smaller
            .iter()
            .map(|schedule| schedule.steps.iter().map(|step| (step.user, step.what.clone())).collect())
            .collect();
        let write = |user, friend| (user, Doing::Write { friend, qos: 1 });
        assert_eq!(told, [[write(0, 1)], [write(1, 0)], [write(0, 1)]]);
        assert!(smaller.iter().all(|schedule| schedule.users == 2 && schedule.faults.len() == 2));
        assert_eq!(without_a_user(&smaller[0]), []);
    }

    #[test]
    fn faults_go_with_their_node() {
        let told: Vec<Vec<Breaking>> = without_a_node(&schedule())
            .iter()
            .map(|schedule| schedule.faults.iter().map(|fault| fault.what.clone()).collect())
            .collect();
        // The steps name no node.
        assert_eq!(told, [[Breaking::Pause { node: 0 }], [Breaking::Pause { node: 0 }]]);
    }

    #[test]
    fn times_get_shorter_and_rounder_until_they_are() {
        let mut left = schedule();
        for rounds in 0.. {
            assert!(rounds < 100, "{left:?}");
            match with_shorter_times(&left).into_iter().next() {
                Some(shorter) => left = shorter,
                None => break,
            }
        }
        assert!(moments(&left).all(|at| at < 6_000 && at % 1_000 == 0), "{left:?}");
        assert!(left.faults.iter().all(|fault| fault.length_ms < SHORT_MS));
    }
}
