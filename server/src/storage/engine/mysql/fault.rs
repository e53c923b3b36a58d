//! What the server's refusals mean.

use crate::storage::Error;
use crate::storage::engine::Fault;
use sqlx::mysql::MySqlDatabaseError;

/// What the server says when a lock would have to be waited for that must not be (MySQL; MariaDB says 1205).
const LOCK_NOWAIT: u16 = 3572;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
const DEADLOCK: u16 = 1213;
/// What SQLSTATE begins with where a value is at fault: data exceptions, constraints, and what a trigger signals.
const DATA_CLASSES: [&str; 3] = ["22", "23", "45"];
/// The same where SQLSTATE says nothing: a character that the column cannot hold, and MySQL's CHECK.
const DATA_NUMBERS: [u16; 2] = [1366, 3819];

pub fn fault(error: sqlx::Error) -> Fault {
    if let sqlx::Error::Database(cause) = &error {
        if cause.is_unique_violation() {
            return Fault::Duplicate;
        }
        let is_data = cause.code().is_some_and(|state| DATA_CLASSES.iter().any(|class| state.starts_with(class)));
        return match cause.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number) {
            Some(DEADLOCK) => Fault::Deadlock,
            Some(LOCK_WAIT_TIMEOUT | LOCK_NOWAIT) => Fault::LockTimeout,
            Some(number) if is_data || DATA_NUMBERS.contains(&number) => Fault::Data(error.to_string()),
            _ => Fault::Refused(error.to_string()),
        };
    }
    Fault::Failed(unavailable(error))
}

pub fn unavailable(error: sqlx::Error) -> Error {
    Error::Unavailable(error.to_string())
}
