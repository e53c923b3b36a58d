//! A database of a test's own, and the few steps that most tests begin with.

use chat::cluster::NodeKey;
use chat::config;
use chat::storage::{
    self, Actor, Append, Appended, AppendedBatch, Audience, Befriended, Claim, Claimed, Position, SessionKey, Storage,
};
use chat_protocol::conversation::{Conversation, GroupId, UserId};
use services::mariadb::Mariadb;
use sqlx::{Connection, MySqlConnection};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

/// Budget for what should become true by itself.
pub const SOON: Duration = Duration::from_secs(20);
/// What the tests append at.
pub const NOW: i64 = 1_700_000_000_123;

/// A node for tests in which it does not matter which.
pub static NOBODY: LazyLock<NodeKey> = LazyLock::new(|| node("nobody", 1));

static MARIADB: LazyLock<Mariadb> = LazyLock::new(|| Mariadb::start().expect("MariaDB should start"));
static DATABASES: AtomicUsize = AtomicUsize::new(0);

pub struct Database {
    pub config: config::Database,
    _directory: Option<TempDir>,
}

impl Database {
    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("sqlite:{}", directory.path().join("chat.db").display());
        Database { config: config::Database { url, ..Default::default() }, _directory: Some(directory) }
    }

    pub fn mariadb() -> Self {
        Self::on(&MARIADB)
    }

    /// On a server that the test may break.
    pub fn on(server: &Mariadb) -> Self {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        server.create_database(&name).expect("a new database");
        let config = config::Database { url: server.url(&name), timeout_ms: 20_000, ..Default::default() };
        Database { config, _directory: None }
    }

    /// The server that all MariaDB tests of this process share.
    pub fn server() -> &'static Mariadb {
        &MARIADB
    }

    pub fn name(&self) -> String {
        self.config.url.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// Runs a statement behind the server's back.
    pub async fn execute(&self, sql: &str) {
        if self.config.url.starts_with("mysql") {
            MARIADB.execute(&self.name(), sql).expect("MariaDB takes the statement");
        } else {
            let mut connection = sqlx::SqliteConnection::connect(&self.config.url).await.expect("SQLite opens");
            let sql = sqlx::AssertSqlSafe(sql);
            sqlx::raw_sql(sql).execute(&mut connection).await.expect("SQLite takes the statement");
        }
    }

    /// A transaction of somebody else that holds rows (MariaDB; SQLite has one writer, and so nobody else).
    pub async fn hold(&self, rows: &str) -> MySqlConnection {
        let mut connection = MySqlConnection::connect(&self.config.url).await.expect("MariaDB takes a connection");
        let lock = format!("BEGIN; SELECT 1 FROM {rows} FOR UPDATE");
        sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut connection).await.expect("the rows are free");
        connection
    }

    /// How many rows of a table have been read from now on (MariaDB).
    pub fn count_rows_read(&self, table: &str) -> impl Fn() -> u64 {
        let name = self.name();
        MARIADB.execute(&name, "SET GLOBAL userstat = 1").expect("MariaDB counts");
        let find = format!(
            "SELECT COALESCE(SUM(rows_read), 0) FROM information_schema.table_statistics \
             WHERE table_schema = '{name}' AND table_name = '{table}'"
        );
        let read = move || MARIADB.execute(&name, &find).expect("MariaDB answers").trim().parse().expect("a number");
        let before: u64 = read();
        move || read() - before
    }

    /// The texts that a query finds.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        if self.config.url.starts_with("mysql") {
            let rows = MARIADB.execute(&self.name(), sql).expect("MariaDB takes the query");
            return rows.lines().map(str::to_owned).collect();
        }
        let mut connection = sqlx::SqliteConnection::connect(&self.config.url).await.expect("SQLite opens");
        let sql = sqlx::AssertSqlSafe(sql);
        sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect("SQLite takes the query")
    }

    /// The names of the tables (MariaDB).
    pub async fn tables(&self) -> Vec<String> {
        let tables = MARIADB.execute(&self.name(), "SHOW TABLES").expect("MariaDB answers");
        tables.lines().map(str::to_owned).collect()
    }

    /// Every column and index with all that belongs to it (MariaDB).
    pub fn layout(&self) -> String {
        let sql = "SELECT table_name, ordinal_position, column_name, column_default, is_nullable, column_type, \
                   collation_name, column_key, extra FROM information_schema.columns \
                   WHERE table_schema = DATABASE() ORDER BY 1, 2; \
                   SELECT table_name, index_name, seq_in_index, column_name, non_unique \
                   FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 1, 2, 3; \
                   SELECT table_name, engine, table_collation FROM information_schema.tables \
                   WHERE table_schema = DATABASE() ORDER BY 1; \
                   SELECT * FROM meta ORDER BY 1";
        MARIADB.execute(&self.name(), sql).expect("MariaDB answers")
    }

    pub async fn open(&self) -> Arc<dyn Storage> {
        storage::open(&self.config).await.expect("the database opens")
    }
}

pub fn node(name: &str, boot: i64) -> NodeKey {
    NodeKey { id: name.into(), boot }
}

pub async fn user(storage: &Arc<dyn Storage>, name: &str) -> UserId {
    storage.register(name, "hash").await.expect("registering works").expect("the name is free")
}

pub async fn group(storage: &Arc<dyn Storage>, creator: UserId, name: &str) -> GroupId {
    storage
        .create_group(&creator.into(), name, "what it is for")
        .await
        .expect("creating works")
        .expect("the name is free")
}

/// Two users who are friends, and their conversation.
pub async fn two_friends(storage: &Arc<dyn Storage>) -> (UserId, UserId, Conversation) {
    let (one, other) = (user(storage, "zhang san").await, user(storage, "li si").await);
    let added = storage.add_friend(&one.into(), other).await.expect("adding a friend works");
    assert!(matches!(added, Befriended::Done(_)), "{added:?}");
    (one, other, Conversation::direct(one, other))
}

/// Logs the user in on the node, and is whoever changes something in that session.
pub async fn session_of(storage: &Arc<dyn Storage>, key: &NodeKey, user: UserId) -> Actor {
    let claimed = storage
        .claim_sessions(key, &[Claim { user, takeover: None, token_generation: None }])
        .await
        .expect("claiming works");
    let Claimed::Won { epoch } = claimed[0] else { panic!("{claimed:?}") };
    Actor { user, session: Some(SessionKey { node: key.clone(), epoch }) }
}

/// Where cursors stand; `None` where there is none.
pub async fn cursors(storage: &Arc<dyn Storage>, of: &[(Conversation, UserId)]) -> Vec<Option<u64>> {
    let of: Vec<_> = of.iter().map(|(conv, user)| (*conv, *user, 0)).collect();
    let positions = storage.cursors(&of).await.expect("reading works");
    positions.into_iter().map(|position| position.map(|position| position.received_seq)).collect()
}

/// A place in a log that has lost nothing.
pub fn at(received_seq: u64) -> Position {
    Position { received_seq, ..Position::default() }
}

/// `None`: there is no such conversation.
pub async fn audience(storage: &Arc<dyn Storage>, conv: Conversation) -> Option<Audience> {
    storage.audiences(&[conv]).await.expect("reading works").remove(&conv)
}

pub fn text(conv: Conversation, sender: UserId, msg: &str) -> Append {
    Append::new(conv, sender, Uuid::now_v7(), msg)
}

pub async fn append(storage: &Arc<dyn Storage>, batch: &[Append]) -> AppendedBatch {
    storage.append(&NOBODY, batch, NOW, &|| true).await.expect("appending works")
}

/// Appends and returns what became of each message.
pub async fn outcomes(storage: &Arc<dyn Storage>, batch: &[Append]) -> Vec<Appended> {
    append(storage, batch).await.outcomes
}

/// Says `count` things.
pub async fn say(storage: &Arc<dyn Storage>, conv: Conversation, sender: UserId, count: usize) {
    let batch: Vec<Append> = (0..count).map(|nth| text(conv, sender, &format!("message {nth}"))).collect();
    for outcome in outcomes(storage, &batch).await {
        assert!(matches!(outcome, Appended::Stored { .. }), "{outcome:?}");
    }
}

/// A message became the conversation's `seq`th.
pub fn stored_at(seq: u64) -> Appended {
    Appended::Stored { seq, log_epoch: 0 }
}

/// A message was there before, since [`NOW`].
pub fn stored_before(seq: u64) -> Appended {
    Appended::Duplicate { seq, time: NOW, log_epoch: 0 }
}
