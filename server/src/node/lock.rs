//! A file that a running node keeps locked, by which the run that follows knows at once that this one is dead.
//!
//! Else it would have to wait until the lease has run out: over the network nobody can tell a dead process from one
//! that is out of reach. On one machine the kernel can. It gives a dead process's locks away, so whoever gets the lock
//! of the run that holds the lease knows that this run is over. What stands in the file says which run that was, and on
//! which boot of which machine, so that a copy of the file proves nothing elsewhere.

use crate::cluster::NodeKey;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Says which boot of which machine this is; another after each.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// More than a node ever writes.
const MOST_BYTES: u64 = 256;

/// The lock, held until this is dropped or the process ends, however that comes about.
#[derive(Debug)]
pub struct NodeLock {
    file: File,
    path: PathBuf,
    machine: String,
    /// The boot number of the run that held it last, on this machine.
    former: Option<i64>,
}

/// Why there is no lock. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot use {} to see whether an earlier run is dead: {cause}; see node.lock_dir", path.display())]
    Unusable { path: PathBuf, cause: io::Error },
    #[error("a process on this machine holds {}: another node runs under this name", .0.display())]
    Held(PathBuf),
}

impl NodeLock {
    /// Takes the lock of this name in a directory, which must exist, on a file system of this machine.
    ///
    /// # Errors
    /// [`Error::Held`] while another process has it; the directory or the file cannot be used.
    pub fn take(directory: &Path, key: &NodeKey) -> Result<NodeLock, Error> {
        let machine = std::fs::read_to_string(BOOT_ID).map_err(|cause| unusable(BOOT_ID.as_ref(), cause))?;
        NodeLock::take_on(directory, key, machine.trim())
    }

    fn take_on(directory: &Path, key: &NodeKey, machine: &str) -> Result<NodeLock, Error> {
        let path = directory.join(format!("node-{}.lock", key.id));
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|cause| unusable(&path, cause))?;
        // Reading from a pipe would wait for somebody to write.
        if !file.metadata().map_err(|cause| unusable(&path, cause))?.is_file() {
            return Err(unusable(&path, io::Error::other("it is not a regular file")));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Held(path)),
            Err(TryLockError::Error(cause)) => return Err(unusable(&path, cause)),
        }
        let mut text = Vec::new();
        (&file).take(MOST_BYTES).read_to_end(&mut text).map_err(|cause| unusable(&path, cause))?;
        let former = former_run(&String::from_utf8_lossy(&text), machine);
        Ok(NodeLock { file, path, machine: machine.to_owned(), former })
    }

    /// Whether the run with this boot number held the lock before, on this machine: then it is dead.
    pub fn proves_dead(&self, boot: i64) -> bool {
        self.former == Some(boot)
    }

    /// From here on this run holds the lease, and the lock speaks for it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn speak_for(&mut self, key: &NodeKey) -> Result<(), Error> {
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            writeln!(self.file, "{} {}", self.machine, key.boot)
        };
        write().map_err(|cause| unusable(&self.path, cause))
    }
}

fn unusable(path: &Path, cause: io::Error) -> Error {
    Error::Unusable { path: path.to_owned(), cause }
}

/// The boot number in what stands in the file. Something else is no proof, and no error.
fn former_run(text: &str, machine: &str) -> Option<i64> {
    let (of, boot) = text.trim_end().split_once(' ')?;
    boot.parse().ok().filter(|_| of == machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(boot: i64) -> NodeKey {
        NodeKey { id: "a:1".into(), boot }
    }

    #[test]
    fn lock_that_is_free_again_proves_its_last_run_dead() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut first = NodeLock::take(directory.path(), &key(7)).expect("nobody has it");
        assert!(!first.proves_dead(7), "nobody ever held it");
        first.speak_for(&key(7)).expect("it can be written");
        assert!(matches!(NodeLock::take(directory.path(), &key(8)), Err(Error::Held(_))), "it lives");
        drop(first);

        let second = NodeLock::take(directory.path(), &key(8)).expect("it is free");

        assert!(second.proves_dead(7));
        assert!(!second.proves_dead(6), "of another run nothing is known");
        // It has never had the lease: whoever had it before is still the one to ask for.
        drop(second);
        assert!(NodeLock::take(directory.path(), &key(9)).expect("it is free").proves_dead(7));
    }

    #[test]
    fn lock_of_another_name_or_machine_proves_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let take = |key: &NodeKey, machine| NodeLock::take_on(directory.path(), key, machine).expect("it is free");
        take(&key(7), "here").speak_for(&key(7)).expect("it can be written");

        assert!(!take(&key(8), "elsewhere").proves_dead(7));
        assert!(!take(&NodeKey { id: "b".into(), boot: 8 }, "here").proves_dead(7));
    }

    #[test]
    fn what_stands_in_the_file_instead_proves_nothing() {
        for text in ["", "here", "here ", "here x", "here 7 8", " 7", "7", "elsewhere 7", "here 99999999999999999999"] {
            assert_eq!(former_run(text, "here"), None, "{text:?}");
        }
        assert_eq!(former_run("here 7\n", "here"), Some(7));
    }

    #[cfg(unix)]
    #[test]
    fn pipe_in_the_place_of_the_file_is_refused_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let pipe = directory.path().join("node-a:1.lock");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
        assert!(made.success());

        let error = NodeLock::take(directory.path(), &key(7)).expect_err("it is a pipe").to_string();

        assert!(error.contains("node-a:1.lock") && error.contains("not a regular file"), "{error}");
    }

    #[test]
    fn directory_that_is_missing_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = directory.path().join("missing");

        let error = NodeLock::take(&missing, &key(7)).expect_err("it is not there").to_string();

        assert!(error.contains("missing/node-a:1.lock") && error.contains("node.lock_dir"), "{error}");
    }
}
