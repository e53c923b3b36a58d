//! The fields of a node's frame that a client looks at, borrowed from it: scanned where it is of the usual form.

use crate::scan::{After, Scanner, Text};
use serde::Deserialize;

/// What any frame may have, whichever it is.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub struct Flat<'a> {
    pub msgid: u64,
    #[serde(borrow)]
    pub mid: Option<Text<'a>>,
    #[serde(default)]
    pub errno: u64,
    #[serde(borrow)]
    pub errmsg: Option<Text<'a>>,
    pub retry_ms: Option<u64>,
    #[serde(borrow)]
    pub conv: Option<Text<'a>>,
    pub seq: Option<u64>,
    pub id: Option<u64>,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    pub toid: Option<u64>,
    pub groupid: Option<u64>,
    #[serde(borrow)]
    pub msg: Option<Text<'a>>,
    pub time: Option<i64>,
}

impl<'a> Flat<'a> {
    /// Reads a payload into this, which is empty: it would be a lot to move. Errors: serde's words.
    #[inline]
    pub fn read(&mut self, payload: &'a [u8]) -> Result<(), String> {
        if self.scan(payload).is_none() {
            *self = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Reads a payload of the usual form; `None`: it has another, or is wrong.
    #[inline]
    fn scan(&mut self, payload: &'a [u8]) -> Option<()> {
        let mut scanner = Scanner::object(std::str::from_utf8(payload).ok()?)?;
        let (mut msgid, mut errno) = (None, None);
        loop {
            match scanner.key()? {
                "msgid" => once(&mut msgid, scanner.number()?)?,
                "mid" => once(&mut self.mid, scanner.text()?)?,
                "errno" => once(&mut errno, scanner.number()?)?,
                "errmsg" => once(&mut self.errmsg, scanner.text()?)?,
                "retry_ms" => once(&mut self.retry_ms, scanner.number()?)?,
                "conv" => once(&mut self.conv, scanner.text()?)?,
                "seq" => once(&mut self.seq, scanner.number()?)?,
                "id" => once(&mut self.id, scanner.number()?)?,
                "name" => once(&mut self.name, scanner.text()?)?,
                "toid" => once(&mut self.toid, scanner.number()?)?,
                "groupid" => once(&mut self.groupid, scanner.number()?)?,
                "msg" => once(&mut self.msg, scanner.text()?)?,
                "time" => once(&mut self.time, scanner.number()?.try_into().ok()?)?,
                _ => scanner.skip_value()?,
            }
            if scanner.after_value()? == After::End {
                break;
            }
        }
        (self.msgid, self.errno) = (msgid?, errno.unwrap_or(0));
        Some(())
    }
}

/// Serde refuses a field that comes twice.
#[inline]
fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 14] = [
        "msgid", "mid", "errno", "errmsg", "retry_ms", "conv", "seq", "id", "toid", "groupid", "msg", "time", "name",
        "",
    ];

    fn serde(payload: &[u8]) -> Result<Flat<'_>, serde_json::Error> {
        serde_json::from_slice(payload)
    }

    /// Names that mean something and one that does not, values of every kind, and now and then one byte that is wrong.
    fn nearly_a_frame() -> impl Strategy<Value = Vec<u8>> {
        let string = r#"[ -~é\x7f]{0,20}|[a-z]{8}(\\n|\\u0041|\x00)?[a-z]{0,9}"#.prop_map(|text| format!("\"{text}\""));
        let other = r#"0|-?[0-9]{1,21}|[0-9]{1,3}(\.[0-9]|e[0-9])|null|true|\[\]|\{"a":1\}| 7"#;
        let value = prop_oneof![2 => string, 2 => any::<u64>().prop_map(|number| number.to_string()), 1 => other];
        let field = (prop::sample::select(&NAMES[..]), value);
        let fields = prop::collection::vec(field.prop_map(|(name, value)| format!("\"{name}\":{value}")), 0..6);
        let object = fields.prop_map(|fields| {
            format!(r#"{{"msgid":6{}{}}}"#, if fields.is_empty() { "" } else { "," }, fields.join(","))
        });
        let wrong = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
        (object, wrong).prop_map(|(object, wrong)| {
            let mut bytes = object.into_bytes();
            if let Some((place, byte)) = wrong {
                *place.get_mut(&mut bytes) = byte;
            }
            bytes
        })
    }

    fn scan(payload: &[u8]) -> Option<Flat<'_>> {
        let mut flat = Flat::default();
        flat.scan(payload).map(|()| flat)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn what_is_scanned_is_what_serde_reads(payload in nearly_a_frame()) {
            if let Some(scanned) = scan(&payload) {
                prop_assert_eq!(scanned, serde(&payload).expect("serde reads what the scan reads"));
            }
        }

        #[test]
        fn any_bytes_are_scanned_as_serde_reads_them(payload in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(scan(&payload).is_none_or(|scanned| serde(&payload).is_ok_and(|read| read == scanned)));
        }
    }

    #[test]
    fn what_a_node_sends_under_load_is_scanned() {
        for payload in [
            r#"{"msgid":6,"id":3,"name":"lg-3","toid":4,"msg":"~lg 0000000f 1 2 3","conv":"d3-4","seq":2,"time":17,"mid":"m"}"#,
            r#"{"msgid":10,"id":3,"name":"lg-3","groupid":4,"msg":"","conv":"g4","seq":0,"time":17,"mid":"m"}"#,
            r#"{"msgid":12,"mid":"m","errno":0}"#,
            r#"{"msgid":12,"mid":"m","errno":0,"conv":"d3-4","seq":18446744073709,"time":1700000000000}"#,
            r#"{"msgid":12,"mid":"m","errno":11,"errmsg":"try again","retry_ms":50}"#,
        ] {
            assert_eq!(scan(payload.as_bytes()).expect(payload), serde(payload.as_bytes()).expect(payload));
        }
    }

    #[test]
    fn what_is_wrong_is_refused_in_serdes_words() {
        for (payload, error) in [
            ("", "EOF"),
            ("{", "EOF"),
            (r#"{"id":1}"#, "missing field `msgid`"),
            (r#"{"msgid":6,"msgid":6}"#, "duplicate field `msgid`"),
            (r#"{"msgid":06}"#, "invalid number"),
            (r#"{"msgid":6}}"#, "trailing characters"),
            (r#"{"msgid":6,}"#, "trailing comma"),
            (r#"{"msgid":-6}"#, "invalid value"),
            ("{\"msgid\":6,\"msg\":\"\n\"}", "control character"),
        ] {
            let refusal = Flat::default().read(payload.as_bytes()).expect_err(payload);
            assert!(refusal.contains(error), "{payload}: {refusal}");
        }
    }
}
