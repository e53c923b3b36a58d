//! What an outcome's figures say: the verdict, its reasons, and what a reader should know although it breaks nothing.

use super::Outcome;
use crate::measure::LatencyKind;
use crate::measure::ledger::Account;
use ::judge::Verdict;

/// A shard that began measuring later than this after the time set for all, in milliseconds, says so.
const START_LATE_MS: i64 = 500;
impl Outcome {
    /// Makes the verdict, the reasons and the warnings of the figures.
    pub fn judge(&mut self) {
        self.reasons.clear();
        self.warnings.clear();
        let account = &self.account;
        let stored = self.is_promised();
        let wrong = [
            (if stored { account.lost } else { 0 }, "lost"),
            (if stored { account.duplicated } else { 0 }, "duplicated"),
            (if stored { account.reordered } else { 0 }, "reordered"),
            (account.phantom, "never sent but received"),
            (account.misdelivered, "delivered to the wrong user"),
            (account.altered, "altered"),
        ];
        let wrong = wrong.iter().filter(|(count, _)| *count > 0);
        self.reasons.extend(wrong.map(|(count, what)| format!("{count} messages {what}")));
        if self.logins == 0 {
            self.reasons.push("nobody could log in".into());
        } else if account.expected > 0 && account.delivered == 0 {
            self.reasons.push("nothing was received".into());
        } else if account.sent == 0 && self.sends() && self.has_senders() {
            self.reasons.push("nothing was sent".into());
        }
        let broken = !self.reasons.is_empty();
        if self.cut_short {
            let late = account.unknown;
            self.reasons.push(format!(
                "{late} messages were still on their way after {:.0} s: allow more with --drain",
                self.drained_s
            ));
        } else if account.unknown > 0 {
            self.reasons.push(format!("{} messages were neither acknowledged nor delivered", account.unknown));
        }
        if self.online.1 < self.online.0 {
            self.reasons.push(format!(
                "{} of {} users could not come back",
                self.online.0 - self.online.1,
                self.online.0
            ));
        }
        self.verdict = match (broken, self.reasons.is_empty()) {
            (true, _) => Verdict::Invalid,
            (false, false) => Verdict::Unknown,
            (false, true) => Verdict::Valid,
        };
        self.warn();
    }

    fn warn(&mut self) {
        let mut warnings = Vec::new();
        if let Some(start) = self.plan.start_at_ms
            && self.measured_from_ms.saturating_sub(start) > START_LATE_MS
        {
            let late = self.measured_from_ms.saturating_sub(start) as f64 / 1e3;
            warnings.push(format!("measuring began {late:.1} s after the time set: allow more for logging in"));
        }
        if self.online.0 < self.plan.users {
            warnings.push(format!("{} of {} users were online at the start", self.online.0, self.plan.users));
        }
        let Account { lost, duplicated, reordered, .. } = self.account;
        if !self.is_promised() && [lost, duplicated, reordered] != [0; 3] {
            warnings.push(format!(
                "{lost} lost, {duplicated} duplicated, {reordered} reordered, which qos 0 allows; assert 'lost == 0' \
                 to forbid it"
            ));
        }
        if self.stored > 0 {
            warnings.push(format!(
                "{} deliveries were made only with a last login: the server had stored them, and did not push them",
                self.stored
            ));
        }
        if self.unsent > 0 {
            warnings
                .push(format!("{} messages were due while their sender had no connection, and not sent", self.unsent));
        }
        if self.is_limited_by_generator() {
            let late = self.latencies.get(&LatencyKind::Lateness).map_or(0, |late| late.percentile(99.0));
            warnings.push(format!(
                "limited by the generator: 1 % of the messages were sent {} ms or more late; use a lower rate or \
                 more processes",
                late / 1_000
            ));
        }
        if !self.is_rate_kept() {
            let kept = self.due_per_second();
            warnings.push(format!("the rate was {kept:.0}/s where {:.0}/s was asked for", self.asked_per_second()));
        }
        match (self.resources.embedded, self.resources.nodes_apart) {
            (true, false) => {
                warnings.push("the cluster ran inside this process: generator and nodes shared its CPU".into())
            }
            (true, true) => warnings.push("the cluster ran on this machine: generator and nodes shared its CPU".into()),
            (false, _) => {}
        }
        if !self.interventions.is_empty() {
            warnings.push(format!(
                "steered by hand {} times while it was measured: do not compare it with runs that were not",
                self.interventions.len()
            ));
        }
        if self.interrupted {
            warnings.push(format!("interrupted after {:.1} s", self.measured_s));
        }
        self.warnings = warnings;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn what_breaks_a_promise_is_invalid_and_qos_0_promises_less() {
        let check = |qos: u8, change: fn(&mut Account), expected: Verdict| {
            let mut outcome = Outcome::failed(Plan { qos, ..Plan::default() }, String::new());
            outcome.logins = 400;
            outcome.online = (400, 400);
            outcome.account = Account { sent: 10, expected: 10, delivered: 9, ..Account::default() };
            change(&mut outcome.account);
            outcome.judge();
            assert_eq!(outcome.verdict, expected, "{qos}: {:?}", outcome.account);
            let shown =
                outcome.account.violations() == 0 || !(outcome.reasons.is_empty() && outcome.warnings.is_empty());
            assert!(shown, "{outcome:?}");
        };
        check(1, |_| {}, Verdict::Valid);
        check(1, |account| account.lost = 1, Verdict::Invalid);
        check(1, |account| account.reordered = 1, Verdict::Invalid);
        check(1, |account| account.unknown = 1, Verdict::Unknown);
        check(1, |account| account.delivered = 0, Verdict::Invalid);
        check(0, |account| account.reordered = 1, Verdict::Valid);
        check(0, |account| account.lost = 1, Verdict::Valid);
        check(0, |account| account.misdelivered = 1, Verdict::Invalid);
        check(0, |account| account.delivered = 0, Verdict::Invalid);
    }
}
