//! What the server's refusals mean, for the statement and for the connection.

use crate::storage::Error;
use crate::storage::engine::Fault;
use sqlx::mysql::MySqlDatabaseError;

/// What the server says when a lock would have to be waited for that must not be (MySQL; MariaDB says 1205).
const LOCK_NOWAIT: u16 = 3572;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// Another transaction was first: a deadlock, or on a group of servers a conflict that shows at the commit.
const CONFLICTS: [u16; 2] = [1213, 3101];
/// What SQLSTATE begins with where a value is at fault: data exceptions, constraints, and what a trigger signals.
const DATA_CLASSES: [&str; 3] = ["22", "23", "45"];
/// The same where SQLSTATE says nothing: a character that the column cannot hold, and MySQL's CHECK.
const DATA_NUMBERS: [u16; 2] = [1366, 3819];
/// This server is no primary any more: not ready for queries (1047), read-only (1290, 1792, 1836).
const DEMOTED: [u16; 4] = [1047, 1290, 1792, 1836];
/// This server is going down (1053), or could not bring a commit to the others (1180, 3100) or learn of theirs (3796,
/// 3797).
const IN_TROUBLE: [u16; 5] = [1053, 1180, 3100, 3796, 3797];

/// What a failure says about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Use another connection, and look at the server.
    Doubtful,
    /// Use none of the connections that there are.
    Demoted,
}

/// What becomes of the connection, and of the others to the same server.
pub fn verdict(error: &sqlx::Error) -> Verdict {
    match number(error) {
        Some(number) if DEMOTED.contains(&number) => Verdict::Demoted,
        Some(number) if IN_TROUBLE.contains(&number) => Verdict::Doubtful,
        Some(_) => Verdict::Fine,
        None => Verdict::Doubtful,
    }
}

/// What becomes of the statement.
pub fn fault(error: sqlx::Error) -> Fault {
    let sqlx::Error::Database(cause) = &error else { return Fault::Failed(unavailable(error)) };
    if cause.is_unique_violation() {
        return Fault::Duplicate;
    }
    let Some(number) = number(&error) else { return Fault::Refused(error.to_string()) };
    kind(number, cause.code().as_deref().unwrap_or_default(), &error)
}

fn kind(number: u16, state: &str, text: &dyn std::fmt::Display) -> Fault {
    let is_data = DATA_CLASSES.iter().any(|class| state.starts_with(class)) || DATA_NUMBERS.contains(&number);
    match number {
        number if CONFLICTS.contains(&number) => Fault::Deadlock,
        LOCK_WAIT_TIMEOUT | LOCK_NOWAIT => Fault::LockTimeout,
        // Not a refusal of this very statement: any other would meet the same, or its outcome is unknown.
        number if DEMOTED.contains(&number) || IN_TROUBLE.contains(&number) => {
            Fault::Failed(Error::Unavailable(text.to_string()))
        }
        _ if is_data => Fault::Data(text.to_string()),
        _ => Fault::Refused(text.to_string()),
    }
}

pub fn unavailable(error: sqlx::Error) -> Error {
    Error::Unavailable(error.to_string())
}

/// The server's own number for it, where it is the server that says so.
pub fn number(error: &sqlx::Error) -> Option<u16> {
    match error {
        sqlx::Error::Database(cause) => cause.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_a_fault_of_its_kind() {
        let check = |number, state, expected: &str| {
            let name = format!("{:?}", kind(number, state, &"the text"));
            assert!(name.starts_with(expected), "{number}: {name}");
        };
        for number in [1213, 3101] {
            check(number, "40001", "Deadlock");
        }
        for number in [1205, 3572] {
            check(number, "HY000", "LockTimeout");
        }
        for number in [1047, 1053, 1180, 1290, 1792, 1836, 3100, 3796, 3797] {
            check(number, "HY000", "Failed(Unavailable(\"the text\"))");
        }
        for (number, state) in [(1406, "22001"), (1048, "23000"), (1644, "45000"), (1366, "HY000"), (3819, "HY000")] {
            check(number, state, "Data(\"the text\")");
        }
        check(1064, "42000", "Refused(\"the text\")");
    }

    #[test]
    fn failure_of_the_connection_makes_the_server_doubtful() {
        let broken = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(verdict(&broken), Verdict::Doubtful);
        assert!(matches!(fault(broken), Fault::Failed(Error::Unavailable(_))));
    }
}
