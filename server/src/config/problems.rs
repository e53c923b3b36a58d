//! What is wrong with the settings.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// Collects what is wrong, one line for each key.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    /// Reports `value` if it lies outside.
    pub(super) fn range<T: PartialOrd + Display>(&mut self, key: &str, value: T, allowed: RangeInclusive<T>) {
        if !allowed.contains(&value) {
            self.add(key, value, format_args!("a number from {} to {}", allowed.start(), allowed.end()));
        }
    }

    /// Reports `value`; `allowed` completes "expected …".
    pub(super) fn add(&mut self, key: &str, value: impl Display, allowed: impl Display) {
        self.0.push(format!("{key} = {value}: expected {allowed}"));
    }

    /// Reports `value`, a text, unless it is fine.
    pub(super) fn text(&mut self, key: &str, value: &str, is_fine: bool, allowed: impl Display) {
        if !is_fine {
            self.add(key, format_args!("{value:?}"), allowed);
        }
    }

    /// Reports what stands for itself.
    pub(super) fn say(&mut self, problem: impl Display) {
        self.0.push(problem.to_string());
    }

    pub(super) fn all(self) -> Vec<String> {
        self.0
    }
}
