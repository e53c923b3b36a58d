//! What was taken over, what was not, and what was repaired on the way.

use chat_protocol::conversation::UserId;
use std::fmt;

/// What was taken over, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationReport {
    pub users: usize,
    /// Pairs of friends.
    pub friendships: usize,
    pub groups: usize,
    pub group_members: usize,
    /// Waiting messages; one to a group counts once.
    pub messages: usize,
    /// Texts that were UTF-8 taken for GBK, and now are as they were sent.
    pub repaired: usize,
    /// The same with characters lost for good: each is among the problems.
    pub repaired_in_part: usize,
    /// Texts that were taken for GBK, or may have been, and were left as they are: each is among the problems.
    pub unrepaired: usize,
    /// Messages whose JSON had lost its backslashes.
    pub unescaped: usize,
    /// The first few of what was repaired; no passwords.
    pub examples: Vec<Example>,
    pub renamed: Vec<Renamed>,
    pub problems: Vec<Problem>,
}

/// A user or group whose name we could not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// `user` or `allgroup`.
    pub table: &'static str,
    pub id: UserId,
    pub from: String,
    pub to: String,
}

/// A text before and after its repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Table, column and row.
    pub place: String,
    pub before: String,
    pub after: String,
}

/// A row that was not taken over, or not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub table: &'static str,
    /// The row, as far as it tells what would be lost: an offline message in full.
    pub row: String,
    pub reason: String,
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.place, self.before, self.after)
    }
}

impl fmt::Display for Renamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: renamed from {:?} to {:?}", self.table, self.id, self.from, self.to)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.table, self.reason, self.row)
    }
}
