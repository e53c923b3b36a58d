//! Opening a database: the one place that knows which engines there are.

use super::Storage;
use super::engine::Engine;
use super::engine::mysql::{self, Mysql, Purpose};
use super::engine::sqlite::{self, Sqlite};
use super::error::{Error, Result};
use super::sql::SqlStorage;
use crate::config::{self, without_password};
use chat_environment::Environment;
use std::sync::Arc;
use std::time::Duration;

/// How long opening may take: another node may be making the tables. Past it the start fails as unavailable.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens the database that `database.url` names, and makes its tables if it has none.
///
/// Its surroundings are the operating system, and its tasks are watched by nobody: for those that are no node.
///
/// Errors: [`Error::Unusable`] for a URL or a database that is not for us, [`Error::Unavailable`] where waiting may
/// help.
pub async fn open(database: &config::Database) -> Result<Arc<dyn Storage>> {
    open_with(database, &Environment::default()).await
}

/// The same for a node, in its environment.
pub async fn open_with(database: &config::Database, environment: &Environment) -> Result<Arc<dyn Storage>> {
    let opening = async {
        let engine = open_engine(database, environment).await?;
        open_on(engine, timeout(database), environment).await
    };
    match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(storage) => storage,
        Err(_) => Err(Error::Unavailable(format!("the database did not open within {} s", OPEN_TIMEOUT.as_secs()))),
    }
}

/// Opens it only if it has our tables, as of this release; nothing is made or upgraded.
///
/// Errors: as [`open`].
pub async fn open_existing(database: &config::Database) -> Result<Arc<dyn Storage>> {
    let environment = Environment::default();
    if let Some(path) = sqlite::path(&database.url).filter(|path| !path.exists()) {
        return Err(Error::Unusable(format!("there is no database {}", path.display())));
    }
    let engine = open_engine(database, &environment).await?;
    Ok(Arc::new(SqlStorage::open_existing(engine, timeout(database), environment).await?))
}

/// The same as [`open`] on an engine that may be somebody else's. Each call to the storage takes `timeout` at most.
pub async fn open_on(
    engine: Box<dyn Engine>,
    timeout: Duration,
    environment: &Environment,
) -> Result<Arc<dyn Storage>> {
    Ok(Arc::new(SqlStorage::open(engine, timeout, environment.clone()).await?))
}

/// The engine that `database.url` names, on a database that may still be empty.
pub async fn open_engine(database: &config::Database, environment: &Environment) -> Result<Box<dyn Engine>> {
    let url = &database.url;
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("sqlite") => Ok(Box::new(Sqlite::open(url, &environment.tasks).await?)),
        Some("mysql" | "mariadb") => {
            let (timeout, tasks) = (timeout(database), &environment.tasks);
            Ok(Box::new(Mysql::open(url, Purpose::Serving, database.connections, timeout, tasks).await?))
        }
        _ => Err(Error::Unusable(format!(
            "database.url should be {} or {}, not {:?}",
            sqlite::URL,
            mysql::URL,
            without_password(url)
        ))),
    }
}

fn timeout(database: &config::Database) -> Duration {
    Duration::from_millis(database.timeout_ms)
}
