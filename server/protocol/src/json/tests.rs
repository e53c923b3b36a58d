use super::*;
use proptest::prelude::*;

fn check(text: &str, expected: Value<'_>) {
    let object = format!("{{\"x\":{text}}}");
    let fields = parse(object.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(fields.get("x"), Some(&expected), "{text}");
}

fn refuse(bytes: &[u8]) -> Error {
    parse(bytes).expect_err(&String::from_utf8_lossy(&bytes[..bytes.len().min(80)]))
}

fn nested(depth: usize, open: &str, close: &str) -> Vec<u8> {
    format!("{{\"x\":{}1{}}}", open.repeat(depth - 1), close.repeat(depth - 1)).into_bytes()
}

#[test]
fn values_keep_their_type() {
    check("null", Value::Null);
    check("true", Value::Bool(true));
    check("0", Value::UInt(0));
    check("9007199254740992", Value::UInt(1 << 53));
    check("18446744073709551615", Value::UInt(u64::MAX));
    check("18446744073709551616", Value::Float(18446744073709551616.0));
    check("-1", Value::Int(-1));
    check("-9223372036854775809", Value::Float(-9223372036854775808.0));
    check("7.0", Value::Float(7.0));
    check("1e400", Value::Float(f64::INFINITY));
    check("-1e400", Value::Float(f64::NEG_INFINITY));
    check(&"9".repeat(400), Value::Float(f64::INFINITY));
    check("\"a\\u0000b\"", Value::Str("a\0b".into()));
    check("\"\\ud83d\\ude00\"", Value::Str("😀".into()));
    check("[]", Value::Strings(vec![]));
    check("[\"a\",\"b\"]", Value::Strings(vec!["a".into(), "b".into()]));
    check("[\"a\",1,\"b\"]", Value::Array);
    check("{\"a\":[1e400,{}]}", Value::Object);
}

#[test]
fn huge_number_leaves_its_neighbours_alone() {
    let fields = parse(br#" {"a":"x\ty","b":1e999,"c":-3,"d":{"e":[1e999]}} "#).expect("lawful JSON");
    assert_eq!(fields.get("a"), Some(&Value::Str("x\ty".into())));
    assert_eq!(fields.get("c"), Some(&Value::Int(-3)));
    assert_eq!(fields.get("d"), Some(&Value::Object));
}

#[test]
fn strings_without_escapes_are_borrowed() {
    let fields = parse(br#"{"msg":"hello"}"#).expect("lawful JSON");
    assert!(matches!(fields.get("msg"), Some(Value::Str(Cow::Borrowed("hello")))));
}

#[test]
fn anything_but_one_object_is_refused() {
    for text in ["", " ", "null", "1", "\"x\"", "[]", "[{}]", "\0{}", "\u{feff}{}", "}"] {
        assert_eq!(refuse(text.as_bytes()), Error::NotAnObject, "{text}");
    }
    for text in [
        "{",
        "{}}",
        "{}{}",
        "{} x",
        "{}\0",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":1.}",
        "{\"a\":1e}",
        "{\"a\":tru}",
        "{\"a\":\"\0\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":[1e400,}",
        "{\"a\":1e400}x",
        "{1:2}",
    ] {
        assert!(matches!(refuse(text.as_bytes()), Error::Syntax(_)), "{text}");
    }
    for bytes in [&b"{\"a\":\"\xff\"}"[..], b"\xc0\x80", b"{}\x80", b"{\"a\":\"\xed\xa0\x80\"}"] {
        assert_eq!(refuse(bytes), Error::NotUtf8);
    }
}

#[test]
fn duplicate_keys_are_refused_at_every_level() {
    let many: Vec<String> = (0..40).map(|key| format!("\"k{key}\":0")).collect();
    assert!(parse(format!("{{{}}}", many.join(",")).as_bytes()).is_ok());
    for text in [
        r#"{"a":1,"a":1}"#.to_owned(),
        r#"{"a":1,"b":2,"\u0061":3}"#.to_owned(),
        r#"{"x":{"a":1,"a":2}}"#.to_owned(),
        r#"{"x":[[{"a":{"b":0,"b":0}}]]}"#.to_owned(),
        r#"{"y":1e400,"x":[{"a":1,"a":2}]}"#.to_owned(),
        format!("{{{},\"k7\":1}}", many.join(",")),
        format!("{{\"x\":{{{},\"k7\":1}}}}", many.join(",")),
    ] {
        assert!(refuse(text.as_bytes()).to_string().contains("duplicate key"), "{text}");
    }
}

#[test]
fn nesting_ends_at_its_limit() {
    for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
        assert!(parse(&nested(MAX_NESTING, open, close)).is_ok());
        for depth in [MAX_NESTING + 1, 129, 10_000, 1_000_000] {
            assert_eq!(refuse(&nested(depth, open, close)), Error::TooDeep);
        }
    }
    assert_eq!(refuse(&b"[".repeat(1_000_000)), Error::TooDeep);
    assert_eq!(refuse(&b"{\"a\":".repeat(1_000_000)), Error::TooDeep);
}

#[test]
fn brackets_inside_strings_do_not_nest() {
    let text = format!("{{\"a\\\"\":\"{}\\\\\",\"b\":\"\\\"{}\"}}", "[".repeat(100), "{".repeat(100));
    assert!(parse(text.as_bytes()).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn json_like_text_ends_in_a_result(text in "[{}\\[\\]\",:\\\\a1e.\\-tfn ]{0,60}") {
        let _ = parse(text.as_bytes());
    }
}
