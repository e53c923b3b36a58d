//! The bugs that are built into the node, and the promises that each breaks. `harness prove` asks for the same ones.

use crate::Workload::{self, *};
use crate::{Failure, Lived};
use chat::failpoint::Failpoint::{self, *};
use judge::Guarantee::{self, *};

/// A bug, and what it breaks.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    pub failpoint: Failpoint,
    /// When it strikes, as the crate `fail` has it; in the simulator without percentages, whose chance is no seed's.
    pub strikes: &'static str,
    /// What people do meanwhile.
    pub workload: Workload,
    /// At least one of these is found broken.
    pub breaks: &'static [Guarantee],
}

impl Bug {
    /// The first of its promises that was broken.
    pub(super) fn broken_in(&self, lived: &Lived) -> Option<Guarantee> {
        let Some(Failure::Broken(broken)) = Failure::of(lived) else { return None };
        self.breaks.iter().copied().find(|promise| broken.contains(promise))
    }
}

const fn bug(failpoint: Failpoint, strikes: &'static str, workload: Workload, breaks: &'static [Guarantee]) -> Bug {
    Bug { failpoint, strikes, workload, breaks }
}

/// Always.
const ALWAYS: &str = "return";
/// When everybody is there.
const ONCE: &str = "60*off->1*return";
const FIVE_TIMES: &str = "60*off->5*return";

pub const BUGS: &[Bug] = &[
    bug(PushDrop, FIVE_TIMES, Mixed, &[DeliveredOnce, InOrder]),
    bug(PushTwice, ONCE, Mixed, &[DeliveredOnce]),
    bug(PushSwap, FIVE_TIMES, Mixed, &[InOrder]),
    bug(PushAlter, ONCE, Mixed, &[NoPhantoms]),
    bug(PushMisdeliver, FIVE_TIMES, Mixed, &[NoPhantoms]),
    bug(WriterAckEarly, ALWAYS, Mixed, &[Durable, Rows]),
    bug(WriterForgetMid, ALWAYS, Mixed, &[HarmlessResend]),
    bug(SweepSkip, ALWAYS, Mixed, &[DeliveredOnce, WithoutRedis]),
    bug(SessionOfflineLost, ALWAYS, Mixed, &[DeliveredOnce]),
    bug(IdentityTrust, ALWAYS, Mixed, &[Identity]),
    bug(WriterScatter, ALWAYS, Mixed, &[InOrder]),
    bug(WriterFinal, ALWAYS, Mixed, &[NoPhantoms, Rows]),
    bug(WriterDisown, ALWAYS, Mixed, &[NoPhantoms, Rows, HarmlessResend]),
    bug(RelayOvertake, ALWAYS, Mixed, &[InOrder]),
    bug(SessionPushAhead, ALWAYS, Mixed, &[DeliveredOnce, InOrder]),
    bug(SessionResumeNothing, ALWAYS, Mixed, &[DeliveredOnce]),
    bug(CursorsOwnCovers, ALWAYS, Logins, &[DeliveredOnce]),
    bug(ClaimsFreeUnsaved, ALWAYS, Mixed, &[DeliveredOnce]),
    bug(CursorsSavedAnyway, ALWAYS, Mixed, &[DeliveredOnce]),
    bug(BusTakeRepeats, ALWAYS, Mixed, &[DeliveredOnce]),
    bug(RetentionUnreceived, ALWAYS, Mixed, &[DeliveredOnce]),
];

/// Bugs that a story shows, and seeds too seldom: it takes a node that is cut off from the database for longer than its
/// lease, and a user of it who takes its session over meanwhile.
const IN_STORIES_ALONE: &[(Failpoint, &[Guarantee])] = &[(LeaseStale, &[OneSession])];

/// The promises that a bug breaks; none of one that is in no list, which a test sees.
pub fn breaks(failpoint: Failpoint) -> &'static [Guarantee] {
    let seeds = BUGS.iter().map(|bug| (bug.failpoint, bug.breaks));
    let mut all = seeds.chain(IN_STORIES_ALONE.iter().copied());
    all.find(|(of, _)| *of == failpoint).map(|(_, breaks)| breaks).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failpoint_breaks_something() {
        for failpoint in Failpoint::ALL {
            assert!(!breaks(failpoint).is_empty(), "{}", failpoint.name());
        }
    }

    #[test]
    fn no_bug_strikes_by_a_chance_that_is_no_seeds() {
        assert!(BUGS.iter().all(|bug| !bug.strikes.contains('%')));
    }
}
