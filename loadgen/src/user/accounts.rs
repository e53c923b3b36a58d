//! The accounts that a run uses: made on first use, and kept in a file with their tokens, so that passwords are hashed
//! once.

use crate::plan::Plan;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// One account, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub name: String,
    pub id: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<Box<str>>,
}

/// The accounts of earlier runs, and which friends and groups were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    pub accounts: Vec<Account>,
    /// Pairs of users that are friends.
    #[serde(default)]
    pub friends: Vec<(u32, u32)>,
    /// Groups by name, complete with their members.
    #[serde(default)]
    pub groups: Vec<(String, u64)>,
}

/// Why the file of accounts cannot be used. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the accounts {}: {cause}", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("cannot write the accounts {}: {cause}", path.display())]
    Write { path: PathBuf, cause: std::io::Error },
}

/// The name of user `index`.
pub fn name(plan: &Plan, index: u32) -> String {
    format!("{}-{index}", plan.prefix)
}

/// The name of a group of users `first` and the `size` - 1 after it: one that other runs make only with the same
/// members.
pub fn group_name(plan: &Plan, first: u32, size: usize) -> String {
    format!("{}-group-{first}-{size}", plan.prefix)
}

impl Book {
    /// Reads the file; one that does not exist is empty.
    pub fn load(path: &Path) -> Result<Book, Error> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Error::File { path: path.to_owned(), reason: error.to_string() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Book::default()),
            Err(cause) => Err(Error::Read { path: path.to_owned(), cause }),
        }
    }

    /// Replaces the file, readable by its owner only, since tokens open accounts.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        use std::os::unix::fs::OpenOptionsExt;
        let failed = |cause| Error::Write { path: path.to_owned(), cause };
        let beside = path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(failed)?;
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        file.write_all(&text).and_then(|()| std::fs::rename(&beside, path)).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_reads_back_and_a_missing_one_is_empty() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("accounts.json");
        assert_eq!(Book::load(&path).expect("no file is none"), Book::default());
        let account = Account { name: "lg-0".into(), id: 4, token: Some("t".into()) };
        let book = Book { accounts: vec![account], friends: vec![(0, 1)], groups: vec![("g".into(), 2)] };
        book.save(&path).expect("written");
        assert_eq!(Book::load(&path).expect("read"), book);
    }
}
