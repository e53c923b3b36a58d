//! A database that counts what is asked of it, and takes the same time for each connection it hands out.

use async_trait::async_trait;
use chat::storage::engine::{Connection, Dialect, Done, Engine, Result, Row, Value};
use std::ops::Sub;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// Before each connection is handed out, in the runtime's paused time, in which else no time at all would pass. What is
/// read in the moment in which a node begins to doubt what it knows counts as old: it is read again, and by then a
/// moment has passed.
const PAUSE: Duration = Duration::from_millis(1);

/// What was asked of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Without BEGIN, COMMIT and ROLLBACK.
    pub statements: u64,
    /// Transactions committed; a change outside of one is one. Each is a flush of the disk.
    pub commits: u64,
    /// Returned.
    pub rows: u64,
}

impl Sub for Asked {
    type Output = Asked;

    fn sub(self, before: Asked) -> Asked {
        Asked {
            statements: self.statements - before.statements,
            commits: self.commits - before.commits,
            rows: self.rows - before.rows,
        }
    }
}

/// Counts so far, but for what is asked on reserved connections: leases, which nodes renew whatever else happens.
#[derive(Default)]
pub struct Tally {
    statements: AtomicU64,
    commits: AtomicU64,
    rows: AtomicU64,
}

impl Tally {
    pub fn so_far(&self) -> Asked {
        let [statements, commits, rows] =
            [&self.statements, &self.commits, &self.rows].map(|count| count.load(Ordering::Relaxed));
        Asked { statements, commits, rows }
    }
}

fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more as u64, Ordering::Relaxed);
}

pub struct CountingEngine {
    pub below: Box<dyn Engine>,
    pub tally: Arc<Tally>,
}

#[async_trait]
impl Engine for CountingEngine {
    fn describe(&self) -> String {
        self.below.describe()
    }

    fn writers(&self, configured: usize) -> usize {
        self.below.writers(configured)
    }

    async fn read(&self) -> Result<Box<dyn Connection>> {
        tokio::time::sleep(PAUSE).await;
        Ok(self.counting(self.below.read().await?))
    }

    async fn write(&self) -> Result<Box<dyn Connection>> {
        tokio::time::sleep(PAUSE).await;
        Ok(self.counting(self.below.write().await?))
    }

    async fn reserved(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(Counted { below: self.below.reserved().await?, tally: Arc::default(), in_transaction: false }))
    }
}

impl CountingEngine {
    fn counting(&self, below: Box<dyn Connection>) -> Box<dyn Connection> {
        Box::new(Counted { below, tally: self.tally.clone(), in_transaction: false })
    }
}

struct Counted {
    below: Box<dyn Connection>,
    tally: Arc<Tally>,
    in_transaction: bool,
}

#[async_trait]
impl Connection for Counted {
    fn dialect(&self) -> &'static Dialect {
        self.below.dialect()
    }

    async fn run(&mut self, sql: &str, arguments: &[Value]) -> Result<Done> {
        add(&self.tally.statements, 1);
        if !self.in_transaction {
            add(&self.tally.commits, 1);
        }
        at_once(self.below.run(sql, arguments))
    }

    async fn rows_within(&mut self, sql: &str, arguments: &[Value], max_bytes: usize) -> Result<Vec<Row>> {
        add(&self.tally.statements, 1);
        let rows = at_once(self.below.rows_within(sql, arguments, max_bytes))?;
        add(&self.tally.rows, rows.len());
        Ok(rows)
    }

    async fn begin(&mut self) -> Result<()> {
        self.in_transaction = true;
        at_once(self.below.begin())
    }

    async fn commit(&mut self) -> Result<()> {
        self.in_transaction = false;
        add(&self.tally.commits, 1);
        at_once(self.below.commit())
    }

    async fn rollback(&mut self) -> Result<()> {
        self.in_transaction = false;
        at_once(self.below.rollback())
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for SQLite's thread without letting the runtime go on: its paused clock would move, since nothing else is
/// left to do, and with it all that happens by time.
fn at_once<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match work.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}
