//! Sessions, the nodes that hold them, and what the table of users shows of both.

use super::{ROWS_AT_ONCE, page};
use crate::storage::engine::{Connection, Result, Row};
use crate::storage::sql::nodes::JOIN_LIVE_NODE;
use crate::storage::verify::{Place, Verified, Wrong};

pub async fn verify(conn: &mut dyn Connection, after: &Place) -> Result<Verified> {
    let sql = format!(
        "SELECT s.userid, n.id IS NOT NULL, u.state FROM session s {JOIN_LIVE_NODE} \
         LEFT JOIN user u ON u.id = s.userid WHERE s.userid > ? ORDER BY s.userid LIMIT ?"
    );
    let rows = conn.rows(&sql, &[after.id.into(), ROWS_AT_ONCE.into()]).await?;
    let key = |row: &Row| Ok(Place { id: row.number(0)?, ..Place::default() });
    let mut page = page(rows.len(), rows.last().map(key).transpose())?;
    for row in &rows {
        let (user, is_online) = (row.number(0)?, row.flag(1)?);
        match row.text(2) {
            Err(_) => page.find(Wrong::UserGone, format!("user {user}, who has a session row")),
            Ok(state) if (&*state == "online") != is_online => {
                let is = if is_online { "has a session" } else { "has none" };
                page.find(Wrong::StateStale, format!("user {user} is shown {state}, and {is}"));
            }
            Ok(_) => {}
        }
    }
    if after.id == 0 {
        for row in conn.rows("SELECT id, renewals, gone FROM node WHERE gone > renewals", &[]).await? {
            let (id, renewals, gone) = (row.text(0)?, row.int(1)?, row.int(2)?);
            page.find(Wrong::NodeCount, format!("node {id}: gone at {gone}, and has renewed {renewals} times"));
        }
    }
    Ok(page)
}
