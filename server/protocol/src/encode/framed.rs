//! What a node says in the framed dialect: one JSON object a frame.

use crate::answer::{Answer, frame};
use crate::message::{Outgoing, Push, msgid};
use bytes::BytesMut;
use serde::Serialize;

pub fn encode(message: &Outgoing<'_>, out: &mut BytesMut) {
    match message {
        Outgoing::Push(message) => Push::of(message).write(out),
        Outgoing::Reply { kind, mid, result, .. } => {
            let Some(msgid) = kind.reply_number() else { return };
            let answer = Answer { msgid, mid: mid.as_ref(), out };
            match result {
                Ok(reply) => reply.write(answer),
                Err(failure) => answer.failed(failure),
            }
        }
        Outgoing::Notice(failure) => Answer { msgid: msgid::NOTICE, mid: None, out }.failed(failure),
        Outgoing::Ping => frame(&Numbered::<()> { msgid: msgid::PING, body: None }, out),
        Outgoing::Event(event) => frame(&Numbered { msgid: msgid::EVENT, body: Some(event) }, out),
    }
}

#[derive(Serialize)]
struct Numbered<B> {
    msgid: u64,
    #[serde(flatten)]
    body: Option<B>,
}
