//! A run of the simulator as JUnit XML: each promise is a test, and so is what a run is worth. What a run does not ask
//! is left out, as a test that cannot fail says nothing.

use super::{Found, screen};
use judge::Guarantee;
use loadgen::report::{Case, suite};
use sim::campaign::Tally;
use sim::{Failure, NOT_JUDGED};

pub fn junit(tally: &Tally, found: &[Found], about: &str) -> String {
    let of = |guarantee: &Guarantee| {
        let breaks = |failure: &Failure| matches!(failure, Failure::Broken(broken) if broken.contains(guarantee));
        case(&format!("{guarantee} {}", guarantee.title()), tally, found, breaks)
    };
    let mut cases: Vec<Case> = Guarantee::ALL.iter().filter(|one| !NOT_JUDGED.contains(one)).map(of).collect();
    let ends_badly = |failure: &Failure| !matches!(failure, Failure::Broken(_) | Failure::Strayed);
    cases.push(case("every schedule comes to its end", tally, found, ends_badly));
    let strays = |failure: &Failure| *failure == Failure::Strayed;
    cases.push(case("a seed goes the same way every time", tally, found, strays));
    if tally.is_to_reach_all() {
        let never = tally.never_reached();
        let failure = (!never.is_empty()).then(|| format!("never reached: {}", never.join(", ")));
        cases.push(Case { name: "every fault and rare state is reached".into(), seconds: 0.0, failure });
    }
    let screens = found.iter().map(|found| format!("\n{}", screen::found(found)));
    let text: String = [format!("{about}\n{}", screen::summary(tally))].into_iter().chain(screens).collect();
    suite("simulator", &cases, &text)
}

fn case(name: &str, tally: &Tally, found: &[Found], is_it: impl Fn(&Failure) -> bool) -> Case {
    let failed: Vec<String> = tally
        .failed
        .iter()
        .filter(|failed| is_it(&failed.failure))
        .map(|failed| format!("seed {} {}", failed.schedule.seed, failed.failure))
        .collect();
    let again = found.iter().filter(|found| is_it(&found.failure)).map(|found| found.again.clone());
    let failure = (!failed.is_empty()).then(|| failed.iter().cloned().chain(again).collect::<Vec<_>>().join("; "));
    Case { name: name.to_owned(), seconds: 0.0, failure }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn each_promise_is_a_test() {
        insta::assert_snapshot!(junit(&samples::tally(), &[samples::found()], "harness sim --seeds 2000 --from 1"));
    }

    #[test]
    fn a_run_that_is_too_short_to_reach_everything_is_not_asked_whether_it_did() {
        let few = Tally { schedules: 3, failed: Vec::new(), ..samples::tally() };
        insta::assert_snapshot!(junit(&few, &[], "harness sim --seeds 3 --from 1"));
    }
}
