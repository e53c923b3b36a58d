//! What people do, from a seed: messages, and what the workload does beside.

use super::{Dialect, Doing, Step, Workload, moment};
use crate::chance::Chance;

const MESSAGES: u64 = 300;
/// Steps that are requests of other kinds than messages and logins, and what only makes sense with them.
const REQUESTS: &[&str] =
    &["write_to_club", "write_over", "forge", "join", "leave", "befriend", "unfriend", "look", "change_password"];

impl Workload {
    /// How many steps of a schedule are logins and what ends them, and how many are requests of other kinds.
    fn moves(self) -> (u64, u64) {
        match self {
            Workload::Chat => (12, 0),
            Workload::Logins => (90, 6),
            Workload::Groups => (18, 80),
            Workload::Classic => (30, 12),
            Workload::Mixed => (36, 36),
        }
    }

    pub(crate) fn has_requests(self) -> bool {
        self.moves().1 > 0
    }

    pub(crate) fn has_classic(self) -> bool {
        matches!(self, Workload::Classic | Workload::Mixed)
    }

    /// Whether such a step, by its name, can be in a schedule of this workload.
    pub(crate) fn does(self, step: &str) -> bool {
        self.has_requests() || !REQUESTS.contains(&step)
    }
}

/// These speak our own dialect always: without acknowledgements there is little to judge.
const FRAMED: usize = 2;

/// What everybody speaks: our own, unless the workload has classic clients.
pub(super) fn dialects(chance: &Chance, workload: Workload, users: usize) -> Vec<Dialect> {
    let classic_once_in = match workload {
        Workload::Classic => 1,
        Workload::Mixed => 4,
        _ => return Vec::new(),
    };
    let dialect = |user| match (user >= FRAMED && chance.once_in(classic_once_in), chance.once_in(2)) {
        (false, _) => Dialect::Framed,
        (true, false) => Dialect::Bare,
        (true, true) => Dialect::Checked,
    };
    (0..users).map(dialect).collect()
}

pub(super) fn steps(chance: &Chance, workload: Workload, (nodes, users): (usize, usize)) -> Vec<Step> {
    let (logins, requests) = workload.moves();
    let user = || chance.below(users as u64) as usize;
    let mut steps: Vec<Step> = Vec::new();
    for _ in 0..MESSAGES {
        let (at_ms, user) = (moment(chance), user());
        steps.push(Step { at_ms, user, what: writing(chance, friend_of(chance, user, users), requests > 0) });
    }
    for _ in 0..logins {
        steps.push(Step { at_ms: moment(chance), user: user(), what: moving(chance, nodes) });
    }
    for _ in 0..requests {
        let (at_ms, user) = (moment(chance), user());
        steps.push(Step { at_ms, user, what: asking(chance, friend_of(chance, user, users)) });
    }
    steps.sort_by_key(|step| step.at_ms);
    steps
}

fn friend_of(chance: &Chance, user: usize, users: usize) -> usize {
    (user + 1 + chance.below(users as u64 - 1) as usize) % users
}

fn writing(chance: &Chance, friend: usize, has_club: bool) -> Doing {
    let qos = u8::from(!chance.once_in(6));
    match chance.below(20) {
        0..=1 => Doing::WriteAgain,
        2..=4 if has_club => Doing::WriteToClub { qos },
        2..=9 => Doing::WriteToGroup { qos },
        _ => Doing::Write { friend, qos },
    }
}

fn moving(chance: &Chance, nodes: usize) -> Doing {
    let node = chance.below(nodes as u64) as usize;
    // Most of the time everybody is there.
    match chance.below(24) {
        0..=9 => Doing::LogIn { node },
        10..=13 => Doing::Resume { node },
        14..=15 => Doing::LogOut,
        16 => Doing::Revoke,
        17..=21 => Doing::TakeOver { node },
        _ => Doing::Vanish,
    }
}

fn asking(chance: &Chance, friend: usize) -> Doing {
    match chance.below(20) {
        0..=5 => Doing::Join,
        6..=10 => Doing::Leave,
        11..=12 => Doing::Befriend { friend },
        13 => Doing::Unfriend { friend },
        14..=15 => Doing::Look,
        16 => Doing::ChangePassword,
        17..=18 => Doing::Forge { friend },
        _ => Doing::WriteOver,
    }
}
