//! What breaks, from a seed: several things, which may overlap.

use super::{Breaking, Fault, moment};
use crate::bus::Badness;
use crate::chance::Chance;

/// A schedule has so many faults at least, and fewer than so many more.
const FEWEST: u64 = 5;
const MORE: u64 = 11;
/// One schedule in so many has a database that loses what came last. Nothing else in it keeps nodes from noticing.
const LOSES_ONCE_IN: u64 = 8;

/// What there is to break.
pub(super) struct Parts {
    pub nodes: usize,
    pub users: usize,
    pub buses: usize,
}

pub(super) fn faults(chance: &Chance, parts: &Parts) -> Vec<Fault> {
    let count = FEWEST + chance.below(MORE);
    let mut faults: Vec<Fault> = (0..count).map(|_| fault(chance, parts)).collect();
    if chance.once_in(LOSES_ONCE_IN) {
        faults.retain(|fault| !fault.what.makes_forget());
        faults.push(loss(chance));
    }
    faults.sort_by_key(|fault| fault.at_ms);
    faults
}

fn loss(chance: &Chance) -> Fault {
    let what = Breaking::LossyFailover { lost_ms: 50 + chance.below(450) };
    Fault { at_ms: moment(chance), length_ms: 500 + chance.below(8_000), what }
}

fn fault(chance: &Chance, parts: &Parts) -> Fault {
    let Parts { nodes, users, buses } = *parts;
    let at_ms = moment(chance);
    let (what, most_ms) = match chance.below(20) {
        0..=7 => of_a_node(chance, nodes),
        8..=10 if buses > 1 && chance.once_in(2) => of_one_bus(chance, nodes, buses),
        8..=10 => of_the_bus(chance, nodes),
        11..=15 => of_the_database(chance, nodes),
        _ => of_a_user(chance, users),
    };
    let length_ms = if most_ms == 0 { 0 } else { 50 + chance.below(most_ms) };
    Fault { at_ms, length_ms, what }
}

/// A fault and how long it takes at most.
fn of_a_node(chance: &Chance, nodes: usize) -> (Breaking, u64) {
    let node = chance.below(nodes as u64) as usize;
    match chance.below(8) {
        0..=1 => (Breaking::Crash { node }, 6_000),
        // Half of them past the lease.
        2..=4 => (Breaking::Pause { node }, 14_000),
        5 => (Breaking::Drain { node }, 6_000),
        6 => (Breaking::Clock { node, by_ms: chance.below(7_200_000) as i64 - 3_600_000 }, 10_000),
        _ => (Breaking::Drift { node, per_mille: chance.below(401) as i16 - 200 }, 20_000),
    }
}

fn of_the_bus(chance: &Chance, nodes: usize) -> (Breaking, u64) {
    let node = chance.below(nodes as u64) as usize;
    match chance.below(6) {
        0..=1 => {
            let one = || chance.below(60) as u8;
            (Breaking::Bus { badness: Badness { lost: one(), repeated: one(), delayed: one() } }, 10_000)
        }
        2 => (Breaking::CutBus, 0),
        3 => (Breaking::NoBus, 12_000),
        4 => (Breaking::SplitBus { nodes: vec![node] }, 12_000),
        _ => (Breaking::MuteBus { node }, 12_000),
    }
}

fn of_one_bus(chance: &Chance, nodes: usize, buses: usize) -> (Breaking, u64) {
    let (bus, node) = (chance.below(buses as u64) as usize, chance.below(nodes as u64) as usize);
    match chance.below(4) {
        0 => (Breaking::OneBusCut { bus }, 0),
        1 => (Breaking::OneBusGone { bus }, 12_000),
        2 => (Breaking::OneBusSplit { bus, nodes: vec![node] }, 12_000),
        _ => (Breaking::OneBusDeaf { bus, node }, 12_000),
    }
}

fn of_the_database(chance: &Chance, nodes: usize) -> (Breaking, u64) {
    let which = chance.below(nodes as u64) as usize;
    let node = chance.once_in(2).then_some(which);
    match chance.below(12) {
        0..=1 => {
            let (before, after) = (chance.below(40) as u8, chance.below(40) as u8);
            (Breaking::Commits { before, after, node }, 5_000)
        }
        2 => (Breaking::Deadlocks { percent: 1 + chance.below(30) as u8, node }, 5_000),
        3 => (Breaking::LockTimeouts { percent: 1 + chance.below(20) as u8, node }, 5_000),
        4 => (Breaking::LostConnections { percent: 1 + chance.below(30) as u8, node }, 5_000),
        5 => (Breaking::ReadOnly { node }, 6_000),
        6 => (Breaking::Stall { node }, 8_000),
        7 => (Breaking::StallOne { node }, 8_000),
        8 => (Breaking::CutDatabase { node: which }, 12_000),
        9..=10 => (Breaking::StaleReads { node: which, lag_ms: 50 + chance.below(2_000) }, 10_000),
        _ => (Breaking::Failover, 8_000),
    }
}

fn of_a_user(chance: &Chance, users: usize) -> (Breaking, u64) {
    let user = chance.below(users as u64) as usize;
    match chance.below(8) {
        0..=1 => (Breaking::Reset { user }, 0),
        2 => (Breaking::Silence { user }, 10_000),
        3 => (Breaking::Mute { user }, 10_000),
        4 => (Breaking::Deaf { user }, 15_000),
        5 => (Breaking::Slow { user }, 10_000),
        6 => (Breaking::Losing { user, percent: 1 + chance.below(20) as u8 }, 10_000),
        _ => (Breaking::HalfOpen { user }, 0),
    }
}
