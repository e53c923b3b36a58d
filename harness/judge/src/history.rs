//! What happened in a run, event by event: JSON Lines under zstd, one object a line.
//!
//! The load generator and the test harness write the same events, and the same checkers judge them. Users and
//! groups are the server's ids; times are microseconds of the run's clock. Writing is a thread's business: who notes an
//! event waits only while that thread is far behind.

use chat_protocol::conversation::Target;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use uuid::Uuid;

/// The version of what is written; readers refuse others.
pub const FORMAT: u32 = 1;
/// Why a session ended that the client ended by LOGOUT, and the server confirmed.
pub const LEFT: &str = "left";
/// How the reason begins where a session ended without either side having said so: nobody knows what still arrived.
pub const IN_DOUBT: &str = "connection";
/// Events that wait for the writing thread; beyond it whoever notes one waits.
const QUEUE: usize = 65_536;
/// zstd's fastest regular level: histories are repetitive, and shrink tenfold all the same.
const COMPRESSION: i32 = 1;

/// Whom a message is for, as in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum To {
    User(u64),
    Group(u64),
}

impl From<Target> for To {
    fn from(target: Target) -> Self {
        match target {
            Target::User(id) => To::User(id),
            Target::Group(id) => To::Group(id),
        }
    }
}

/// One thing that happened. What a client cannot see is not in here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "snake_case")]
pub enum Event {
    /// The first line.
    Begin { format: u32, run: u32 },
    /// The server says of no message what became of it: what was sent is owed.
    Unacknowledged,
    /// The server says of no message of this user what became of it: nothing is known of those.
    Unanswered { user: u64 },
    /// From here on the user may be a member of the group: it has asked for it.
    Joining { group: u64, user: u64 },
    /// From here on the user is a member of the group.
    Joined { group: u64, user: u64 },
    /// From here on the user need not be a member any more: it has asked for that.
    Leaving { group: u64, user: u64 },
    /// From here on the user is no member any more: the server has said so.
    Left { group: u64, user: u64 },
    /// The server accepted a login. Sessions of a user count up.
    Login {
        user: u64,
        session: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        node: Option<String>,
        waiting: u64,
    },
    /// A login of the user has been asked for. Answered or not, it may have replaced the session that there was.
    LoginAsked { user: u64 },
    /// The session is over, as far as the client knows.
    End { user: u64, session: u32, why: String },
    /// A message was handed to the kernel. `body` is a hash of its text, `again` says that it was sent before.
    Send { user: u64, session: u32, to: To, mid: Uuid, body: u64, qos: u8, due: u64, again: bool },
    /// CHAT_ACK without an error. Without a place where it was relayed.
    Ack {
        user: u64,
        session: u32,
        mid: Uuid,
        #[serde(skip_serializing_if = "Option::is_none")]
        conv: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    /// CHAT_ACK with an error.
    Refused { user: u64, session: u32, mid: Uuid, code: u64, retryable: bool },
    /// A message arrived, whatever the client made of it then. `seq` is 0 where it has no place.
    Push {
        user: u64,
        session: u32,
        from: u64,
        conv: String,
        seq: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        mid: Option<Uuid>,
        body: u64,
    },
    /// The server told a session that these, both included, will not come: the log is shorter now.
    Gap { user: u64, session: u32, conv: String, first: u64, last: u64 },
    /// A page of HISTORY, asked for at the time `asked`: of the messages below `before`, or of all, the newest. `seqs`
    /// are their places, `first_seq` is where the log begins, if the page says so.
    Read {
        user: u64,
        conv: String,
        asked: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
        seqs: Vec<u64>,
        more: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        first_seq: Option<u64>,
    },
    /// In this history pages of HISTORY may be read at different database servers, one of which lags behind another.
    HistoryMayLag,
    /// The client told the server that it has everything up to `seq`.
    Received { user: u64, session: u32, conv: String, seq: u64 },
    /// A request that claimed to come from `claimed`; whether the server did it.
    Claim { user: u64, claimed: u64, done: bool },
    /// A part of the system was broken (`healed` false) or mended, in words: `redis`, `node 1` …
    Fault { what: String, healed: bool },
    /// The database has lost the newest commits, in a failover.
    CommitsLost,
    /// With them the database lost a login of this user.
    LostLogin { user: u64 },
    /// The database has lost a message that it had, in a failover that loses the newest commits.
    Lost { conv: String, seq: u64, sender: u64, mid: Uuid },
    /// The user looked at the state of a friend.
    Sees { user: u64, friend: u64, online: bool },
    /// A message in the database, read when everything was over.
    Row { conv: String, seq: u64, sender: u64, mid: Uuid, body: u64 },
    /// The row at this place has been removed since by retention, which keeps every message for at least `kept_s`
    /// seconds.
    Removed { conv: String, seq: u64, kept_s: u64 },
    /// From here on retention may also remove what somebody has not received; whoever misses it is told.
    RemovesUnreceived,
    /// All rows of the database have been told.
    RowsRead,
    /// The user was logged in until now, with time enough for everything: what has not arrived is lost.
    Drained { user: u64 },
}

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub t: u64,
    #[serde(flatten)]
    pub event: Event,
}

/// A user's session: who, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who {
    pub user: u64,
    pub session: u32,
}

/// The hash of a text that stands for it in a history (FNV-1a, 64 bits).
pub fn body(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Why a history cannot be written or read. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot write the history {}: {cause}", path.display())]
    Write { path: PathBuf, cause: io::Error },
    #[error("cannot read the history {}: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{}, line {line}: {reason}", path.display())]
    Line { path: PathBuf, line: usize, reason: String },
}

/// A history being written.
#[derive(Debug)]
pub struct History {
    sender: SyncSender<Entry>,
    writer: JoinHandle<io::Result<()>>,
    path: PathBuf,
}

impl History {
    /// Begins a file.
    pub fn create(path: &Path, run: u32) -> Result<History, Error> {
        let failed = |cause| Error::Write { path: path.to_owned(), cause };
        let file = File::create(path).map_err(failed)?;
        let encoder = zstd::Encoder::new(BufWriter::new(file), COMPRESSION).map_err(failed)?;
        let (sender, entries) = sync_channel::<Entry>(QUEUE);
        let writer = std::thread::Builder::new().name("history".into()).spawn(move || {
            let mut encoder = encoder;
            for entry in entries {
                serde_json::to_writer(&mut encoder, &entry)?;
                encoder.write_all(b"\n")?;
            }
            encoder.finish()?.flush()
        });
        let history = History { sender, writer: writer.map_err(failed)?, path: path.to_owned() };
        history.note(0, Event::Begin { format: FORMAT, run });
        Ok(history)
    }

    /// Adds an event.
    pub fn note(&self, t: u64, event: Event) {
        // A writer that failed says so when the history is finished.
        let _ = self.sender.send(Entry { t, event });
    }

    /// Waits until everything is in the file.
    pub fn finish(self) -> Result<PathBuf, Error> {
        drop(self.sender);
        let written = self.writer.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread died")));
        written.map_err(|cause| Error::Write { path: self.path.clone(), cause })?;
        Ok(self.path)
    }
}

/// Reads a history, compressed or not, one entry after the other.
pub fn read(path: &Path) -> Result<impl Iterator<Item = Result<Entry, Error>> + use<>, Error> {
    let failed = |cause| Error::Read { path: path.to_owned(), cause };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let compressed = file.fill_buf().map_err(failed)?.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let lines: Box<dyn BufRead> = match compressed {
        true => Box::new(BufReader::new(zstd::Decoder::with_buffer(file).map_err(failed)?)),
        false => Box::new(file),
    };
    let path = path.to_owned();
    Ok(lines.lines().enumerate().map(move |(number, line)| {
        let line = line.map_err(|cause| Error::Read { path: path.clone(), cause })?;
        let wrong = |reason| Error::Line { path: path.clone(), line: number + 1, reason };
        let entry: Entry = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
        match entry.event {
            Event::Begin { format, .. } if format != FORMAT => {
                Err(wrong(format!("format {format}, this reads {FORMAT}")))
            }
            _ if number == 0 && !matches!(entry.event, Event::Begin { .. }) => Err(wrong("not a history".into())),
            _ => Ok(entry),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("history.jsonl.zst");
        let events = [
            Event::Joined { group: 5, user: 1 },
            Event::Send {
                user: 1,
                session: 1,
                to: To::Group(5),
                mid: Uuid::from_u128(9),
                body: 3,
                qos: 1,
                due: 7,
                again: false,
            },
            Event::Push { user: 2, session: 1, from: 1, conv: "g5".into(), seq: 1, mid: None, body: 3 },
            Event::Drained { user: 2 },
        ];
        let history = History::create(&path, 77).expect("a file");
        for (t, event) in events.iter().enumerate() {
            history.note(t as u64, event.clone());
        }
        history.finish().expect("written");
        let read: Vec<_> = read(&path).expect("a file").map(|entry| entry.expect("a line").event).collect();
        assert_eq!(read[0], Event::Begin { format: FORMAT, run: 77 });
        assert_eq!(read[1..], events);
    }

    #[test]
    fn other_files_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("other");
        for text in [
            "hello\n",
            "{\"t\":1,\"ev\":\"drained\",\"user\":2}\n",
            "{\"t\":0,\"ev\":\"begin\",\"format\":9,\"run\":1}\n",
        ] {
            std::fs::write(&path, text).expect("written");
            assert!(read(&path).expect("opened").next().is_some_and(|line| line.is_err()), "{text}");
        }
    }
}
