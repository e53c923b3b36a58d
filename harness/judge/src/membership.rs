//! When somebody may have been a member of a group, and when it certainly was one: of a request whose outcome is
//! unknown neither is known. All numbers are places in the history.

use std::ops::Range;

/// From one place to another.
type Stay = (usize, Option<usize>);

#[derive(Debug, Default)]
pub(crate) struct Membership {
    possible: Vec<Stay>,
    certain: Vec<Stay>,
}

impl Membership {
    pub(crate) fn joining(&mut self, event: usize) {
        begin(&mut self.possible, event);
    }

    pub(crate) fn joined(&mut self, event: usize) {
        begin(&mut self.possible, event);
        begin(&mut self.certain, event);
    }

    pub(crate) fn leaving(&mut self, event: usize) {
        end(&mut self.certain, event);
    }

    pub(crate) fn left(&mut self, event: usize) {
        end(&mut self.possible, event);
        end(&mut self.certain, event);
    }

    /// Whether it certainly is one from here on, until the end.
    pub(crate) fn lasts_from(&self, event: usize) -> bool {
        self.certain.iter().any(|(begun, ended)| *begun <= event && ended.is_none())
    }

    /// Whether it certainly is one all the while.
    pub(crate) fn covers(&self, between: &Range<usize>) -> bool {
        let covers = |(begun, ended): &Stay| *begun <= between.start && ended.is_none_or(|end| end >= between.end);
        self.certain.iter().any(covers)
    }

    /// Whether what was sent at one place may have come at another; `came_after` says what did not come before its end.
    pub(crate) fn may_get(&self, sent: usize, pushed: usize, came_after: impl Fn(usize) -> bool) -> bool {
        let may = |(begun, ended): &Stay| *begun <= pushed && ended.is_none_or(|end| end >= sent && !came_after(end));
        self.possible.iter().any(may)
    }
}

fn begin(stays: &mut Vec<Stay>, event: usize) {
    if stays.last().is_none_or(|stay| stay.1.is_some()) {
        stays.push((event, None));
    }
}

fn end(stays: &mut [Stay], event: usize) {
    if let Some(stay) = stays.last_mut() {
        stay.1.get_or_insert(event);
    }
}
