//! The frame that a reply travels in: `msgid`, `mid`, `errno`, and the reply's own fields beside them.

use crate::errno::{Errno, Failure};
use crate::framing::length::{Order, enclose};
use crate::mid::MidText;
use bytes::{BufMut, BytesMut};
use serde::Serialize;

/// Where the reply to a request that was done goes, whatever its body.
pub struct Answer<'a> {
    pub msgid: u64,
    pub mid: Option<&'a MidText>,
    pub out: &'a mut BytesMut,
}

impl Answer<'_> {
    /// Says that it was done, with the fields of `body`.
    pub fn done<B: Serialize>(self, body: &B) {
        let mid = self.mid.map(MidText::as_str);
        frame(&Beside { msgid: self.msgid, mid, errno: Errno::Done.code(), body }, self.out);
    }

    pub fn failed(self, failure: &Failure) {
        let body = Failed { errmsg: &failure.text, retry_ms: failure.retry_ms() };
        let mid = self.mid.map(MidText::as_str);
        frame(&Beside { msgid: self.msgid, mid, errno: failure.errno.code(), body }, self.out);
    }
}

/// Appends one frame that holds `object`, straight into the connection's buffer.
pub fn frame<T: Serialize>(object: &T, out: &mut BytesMut) {
    enclose(out, Order::Big, |out| {
        serde_json::to_writer(out.writer(), object).expect("messages have string keys and a buffer takes all");
    });
}

#[derive(Serialize)]
struct Beside<'a, B> {
    msgid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<&'a str>,
    errno: u8,
    #[serde(flatten)]
    body: B,
}

#[derive(Serialize)]
struct Failed<'a> {
    errmsg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<u64>,
}
