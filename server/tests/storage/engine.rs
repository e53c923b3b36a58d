//! An engine from outside the server carries the whole storage.

use crate::database::{Database, NOBODY, NOW, say, stored_at, text, two_friends};
use async_trait::async_trait;
use chat::storage::engine::{Connection, Dialect, Done, Engine, Result, Row, Value};
use chat::storage::{Storage, open_engine, open_on};
use chat_environment::Environment;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Statements = Arc<Mutex<Vec<String>>>;

/// Notes what is asked of another engine.
struct Noting {
    engine: Box<dyn Engine>,
    statements: Statements,
}

struct Noted {
    conn: Box<dyn Connection>,
    statements: Statements,
}

impl Noting {
    fn noted(&self, conn: Result<Box<dyn Connection>>) -> Result<Box<dyn Connection>> {
        Ok(Box::new(Noted { conn: conn?, statements: self.statements.clone() }))
    }
}

impl Noted {
    fn note(&self, statement: &str) {
        self.statements.lock().expect("nobody panics with it").push(statement.to_owned());
    }
}

#[async_trait]
impl Engine for Noting {
    fn describe(&self) -> String {
        format!("noted {}", self.engine.describe())
    }

    fn writers(&self, configured: usize) -> usize {
        self.engine.writers(configured)
    }

    async fn read(&self) -> Result<Box<dyn Connection>> {
        self.noted(self.engine.read().await)
    }

    async fn write(&self) -> Result<Box<dyn Connection>> {
        self.noted(self.engine.write().await)
    }

    async fn reserved(&self) -> Result<Box<dyn Connection>> {
        self.noted(self.engine.reserved().await)
    }
}

#[async_trait]
impl Connection for Noted {
    fn dialect(&self) -> &'static Dialect {
        self.conn.dialect()
    }

    async fn run(&mut self, sql: &str, arguments: &[Value]) -> Result<Done> {
        self.note(sql);
        self.conn.run(sql, arguments).await
    }

    async fn rows_within(&mut self, sql: &str, arguments: &[Value], max_bytes: usize) -> Result<Vec<Row>> {
        self.note(sql);
        self.conn.rows_within(sql, arguments, max_bytes).await
    }

    async fn begin(&mut self) -> Result<()> {
        self.note("BEGIN");
        self.conn.begin().await
    }

    async fn commit(&mut self) -> Result<()> {
        self.note("COMMIT");
        self.conn.commit().await
    }

    async fn rollback(&mut self) -> Result<()> {
        self.note("ROLLBACK");
        self.conn.rollback().await
    }
}

/// A storage on such an engine, and what it asks.
async fn noted(database: &Database) -> (Arc<dyn Storage>, Statements) {
    let environment = Environment::default();
    let engine = open_engine(&database.config, &environment).await.expect("SQLite opens");
    let statements = Statements::default();
    let noting = Noting { engine, statements: statements.clone() };
    let storage = open_on(Box::new(noting), Duration::from_secs(20), &environment).await.expect("it takes the engine");
    (storage, statements)
}

#[tokio::test]
async fn batch_is_one_transaction_on_an_engine_from_outside() {
    let database = Database::sqlite();
    let (storage, statements) = noted(&database).await;
    let (one, other, conv) = two_friends(&storage).await;
    statements.lock().expect("nobody panics with it").clear();

    let batch = [text(conv, one, "first"), text(conv, other, "second"), text(conv, one, "third")];
    let appended = storage.append(&NOBODY, &batch, NOW, &|| true).await.expect("appending works");

    assert_eq!(appended.outcomes, [stored_at(1), stored_at(2), stored_at(3)]);
    assert!(storage.describe().starts_with("noted SQLite"));
    let statements = statements.lock().expect("nobody panics with it");
    let ends = ["BEGIN", "COMMIT", "ROLLBACK"].map(|end| statements.iter().filter(|sql| *sql == end).count());
    assert_eq!(ends, [1, 1, 0], "{statements:#?}");
}

#[tokio::test]
async fn log_is_read_in_one_statement_unless_something_is_missing() {
    let database = Database::sqlite();
    let (storage, statements) = noted(&database).await;
    let (one, _, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 5).await;
    let asked = async |after, before| {
        statements.lock().expect("nobody panics with it").clear();
        match before {
            None => storage.messages_after(conv, after, 10, usize::MAX).await.expect("reading works"),
            before => storage.messages_before(conv, before, 10, usize::MAX).await.expect("reading works"),
        };
        statements.lock().expect("nobody panics with it").len()
    };

    assert_eq!([asked(0, None).await, asked(3, None).await, asked(0, Some(4)).await], [1, 1, 1]);

    database.execute("DELETE FROM message WHERE seq = 1").await;
    assert_eq!([asked(0, None).await, asked(3, None).await, asked(0, Some(4)).await], [2, 1, 2]);
}
