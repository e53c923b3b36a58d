//! Brings a database of an earlier schema version up to this one, with everything in it, while nodes of the earlier
//! version go on with it.
//!
//! Each step can be done again from its start: where a change of tables cannot be rolled back, a node may have died
//! between that and the new version.

use super::schema::VERSION;
use crate::storage::engine::{Connection, Result};

/// From one version to the next.
struct Step {
    from: &'static str,
    to: &'static str,
    changes: &'static [Change],
}

struct Change {
    make: &'static str,
    /// Fails unless the change is there.
    probe: &'static str,
}

const STEPS: [Step; 3] = [
    Step {
        from: "2",
        to: "3",
        changes: &[Change {
            make: "ALTER TABLE conversation ADD COLUMN first_seq BIGINT NOT NULL DEFAULT 1",
            probe: "SELECT first_seq FROM conversation WHERE 1 = 0",
        }],
    },
    Step {
        from: "3",
        to: "4",
        changes: &[
            Change {
                make: "ALTER TABLE session ADD COLUMN asked_why TINYINT NOT NULL DEFAULT 0",
                probe: "SELECT asked_why FROM session WHERE 1 = 0",
            },
            Change {
                make: "ALTER TABLE session ADD COLUMN disabled TINYINT NOT NULL DEFAULT 0",
                probe: "SELECT disabled FROM session WHERE 1 = 0",
            },
        ],
    },
    Step {
        from: "4",
        to: "5",
        changes: &[Change {
            make: "ALTER TABLE message ADD COLUMN cluster_age BIGINT NOT NULL DEFAULT 0",
            probe: "SELECT cluster_age FROM message WHERE 1 = 0",
        }],
    },
];

pub fn can_upgrade(version: &str) -> bool {
    STEPS.iter().any(|step| step.from == version)
}

/// Does all steps from `version` on. Several nodes may do so at once: a change that another has made is found by its
/// probe.
pub async fn upgrade(conn: &mut dyn Connection, version: &str) -> Result<()> {
    for step in STEPS.iter().skip_while(|step| step.from != version) {
        tracing::info!(from = step.from, to = step.to, "the database is of an earlier schema version: upgrading it");
        for Change { make, probe } in step.changes {
            if let Err(fault) = conn.run(make, &[]).await {
                // It may be that it was made before.
                if conn.rows(probe, &[]).await.is_err() {
                    return Err(fault);
                }
            }
        }
        conn.run("UPDATE meta SET value = ? WHERE name = 'schema_version'", &[step.to.into()]).await?;
    }
    debug_assert_eq!(STEPS[STEPS.len() - 1].to, VERSION);
    Ok(())
}
