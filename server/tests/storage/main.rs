//! What the rest of the server relies on the database for, on every database it can run on.
//!
//! One suite: each test is a function of a fresh database, run on SQLite and on MariaDB.

mod accounts;
mod ages;
mod append;
mod backup;
mod conversations;
mod database;
mod engine;
mod faults;
mod friends;
mod groups;
mod losses;
mod migrate;
mod nodes;
mod orders;
mod overview;
mod refusals;
mod retention;
mod schema;
mod sessions;
mod tidying;
mod verifying;
mod writers;

/// Makes a test per database of each function of the module it stands in.
macro_rules! on_every_database {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                super::$test(crate::database::Database::sqlite()).await;
            })+
        }

        mod mariadb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                super::$test(crate::database::Database::mariadb()).await;
            })+
        }
    };
}

pub(crate) use on_every_database;
