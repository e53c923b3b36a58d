//! Writing a plan into an empty database, within the caller's transaction.

use super::plan::Plan;
use crate::storage::engine::{Connection, Result, Value};
use crate::storage::sql::lists::{power_of_two_chunks, repeated};
use chat_environment::Environment;
use chat_protocol::conversation::Conversation;

/// Rows in one INSERT.
const ROWS_AT_ONCE: usize = 64;

pub async fn write(conn: &mut dyn Connection, plan: &Plan, hashes: &[String], environment: &Environment) -> Result<()> {
    let users: Vec<_> = (plan.users.iter().zip(hashes))
        .map(|(user, hash)| vec![user.id.into(), user.name.as_str().into(), hash.as_str().into(), "offline".into()])
        .collect();
    insert(conn, "user (id, name, password, state)", &users).await?;
    let sessions: Vec<_> = plan.users.iter().map(|user| vec![user.id.into()]).collect();
    insert(conn, "session (userid)", &sessions).await?;
    let friends: Vec<_> = (plan.friends.iter())
        .flat_map(|(low, high)| [vec![(*low).into(), (*high).into()], vec![(*high).into(), (*low).into()]])
        .collect();
    insert(conn, "friend (userid, friendid)", &friends).await?;
    let groups: Vec<_> = (plan.groups.iter())
        .map(|group| vec![group.id.into(), group.name.as_str().into(), group.description.as_str().into()])
        .collect();
    insert(conn, "allgroup (id, groupname, groupdesc)", &groups).await?;
    let role = |is_creator: bool| if is_creator { "creator" } else { "normal" };
    let members: Vec<_> = (plan.roles.iter())
        .map(|((group, user), is_creator)| vec![(*group).into(), (*user).into(), role(*is_creator).into()])
        .collect();
    insert(conn, "groupuser (groupid, userid, grouprole)", &members).await?;
    write_conversations(conn, plan, environment).await
}

async fn write_conversations(conn: &mut dyn Connection, plan: &Plan, environment: &Environment) -> Result<()> {
    let now = environment.now_ms();
    let conversations: Vec<_> = (plan.conversations.iter())
        .map(|(conv, planned)| vec![(*conv).into(), (planned.messages.len() as u64).into()])
        .collect();
    insert(conn, "conversation (id, last_seq)", &conversations).await?;
    let members: Vec<_> = (plan.conversations.iter())
        .flat_map(|(conv, planned)| {
            let member = |user: &u64| vec![(*conv).into(), (*user).into(), planned.cursor(*user).into()];
            planned.members.iter().map(member)
        })
        .collect();
    insert(conn, "member (conv, userid, received_seq)", &members).await?;
    for (conv, planned) in &plan.conversations {
        let messages: Vec<_> = (planned.messages.iter().zip(1_u64..))
            .map(|(message, seq)| {
                let sent_as = serde_json::to_string(&message.sent_as).ok();
                vec![
                    Value::from(*conv as Conversation),
                    seq.into(),
                    message.sender.into(),
                    Value::Bytes(environment.uuid().as_bytes().to_vec()),
                    message.time.unwrap_or(now).into(),
                    message.msg.as_str().into(),
                    sent_as.map_or(Value::Null, Value::from),
                ]
            })
            .collect();
        insert(conn, "message (conv, seq, sender, mid, time, body, sent_as)", &messages).await?;
    }
    Ok(())
}

/// Inserts rows into `table (columns)`.
async fn insert(conn: &mut dyn Connection, into: &str, rows: &[Vec<Value>]) -> Result<()> {
    for chunk in power_of_two_chunks(rows, ROWS_AT_ONCE) {
        let group = format!("({})", vec!["?"; chunk[0].len()].join(", "));
        let sql = format!("INSERT INTO {into} VALUES {}", repeated(&group, ", ", chunk.len()));
        conn.run(&sql, &chunk.concat()).await?;
    }
    Ok(())
}
