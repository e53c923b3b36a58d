//! Whether the server's settings keep what was committed.

use sqlx::{AssertSqlSafe, MySqlPool};

/// An acknowledgement promises durability; a server that does not flush each commit breaks the promise in a power cut.
pub async fn warn_of_unflushed_commits(pool: &MySqlPool) {
    let settings = ["innodb_flush_log_at_trx_commit", "sync_binlog", "log_bin"];
    let mut values = [None; 3];
    for (setting, value) in settings.iter().zip(&mut values) {
        let sql = format!("SELECT CAST(@@GLOBAL.{setting} AS SIGNED)");
        *value = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql)).fetch_one(pool).await.ok();
    }
    let [flush, sync_binlog, log_bin] = values;
    if flush.is_some_and(|flush| flush != 1) {
        tracing::warn!(
            innodb_flush_log_at_trx_commit = flush,
            "the database does not flush commits: acknowledged messages can be lost in a power cut; set it to 1"
        );
    }
    if log_bin == Some(1) && sync_binlog.is_some_and(|sync| sync != 1) {
        tracing::warn!(
            sync_binlog,
            "the database does not flush its binary log: acknowledged messages can be lost in a power cut; set it to 1"
        );
    }
}
