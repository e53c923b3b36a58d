//! Profiles as users write them, and what is said to those who write them wrong.

use super::*;

#[test]
fn shipped_profiles_are_lawful_and_described() {
    for (name, text) in SHIPPED {
        let profile = Profile::find(name).unwrap_or_else(|error| panic!("{error}"));
        assert!(!profile.description.is_empty(), "{name}");
        assert!(text.starts_with("# "), "{name} says what it is for");
    }
}

#[test]
fn course_profile_shows_every_key_with_its_default() {
    let course = Profile::find("course").expect("shipped");
    let description = course.description.clone();
    assert_eq!(course, Profile { description, ..Profile::default() });
    let (_, text) = SHIPPED[0];
    let keys = serde_json::to_value(Profile::default()).expect("plain data");
    for (name, value) in keys.as_object().expect("an object") {
        let inner = value.as_object().into_iter().flatten().map(|(inner, _)| inner);
        for key in inner.chain([name]) {
            assert!(text.contains(key.as_str()), "{key}");
        }
    }
}

#[test]
fn shipped_numbers_follow_the_enums_they_are_named_for() {
    let check = |name: &str, expected: [u64; 10]| {
        let types = Profile::find(name).expect("shipped").types;
        let numbers = [
            types.login,
            types.login_ack,
            types.logout,
            types.register,
            types.register_ack,
            types.chat,
            types.add_friend,
            types.create_group,
            types.join_group,
            types.group_chat,
        ];
        assert_eq!(numbers, expected, "{name}");
    };
    check("course", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    check("course_to", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    check("camel", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    for name in ["logout_last", "logout_last_to", "camel_logout_last"] {
        check(name, [1, 2, 10, 3, 4, 5, 6, 7, 8, 9]);
    }
    for name in ["register_second", "register_second_to"] {
        check(name, [1, 4, 10, 2, 3, 5, 6, 7, 8, 9]);
    }
    check("checked", [1, 2, 3, 4, 5, 6, 9, 10, 11, 8]);
}

#[test]
fn shipped_layouts_differ_only_in_what_they_are_named_for() {
    let check = |name: &str, like: &str, key: &str, fields: Fields| {
        let like = Profile::find(like).expect("shipped");
        let profile = Profile::find(name).expect("shipped");
        let description = profile.description.clone();
        assert_eq!(profile, Profile { description, type_key: key.into(), fields, ..like }, "{name}");
    };
    let to = || Fields { to: "to".into(), ..Fields::default() };
    let camel = || Fields {
        friend: "friendId".into(),
        group: "groupId".into(),
        group_name: "groupName".into(),
        group_desc: "groupDesc".into(),
        ..to()
    };
    check("course_to", "course", "msgid", to());
    check("logout_last_to", "logout_last", "msgid", to());
    check("register_second_to", "register_second", "msgid", to());
    check("camel", "course", "msgId", camel());
    check("camel_logout_last", "logout_last", "msgId", camel());
}

#[test]
fn every_shipped_profile_is_in_the_table_for_people_and_in_the_help() {
    let table = include_str!("../../../profiles/README.md");
    let help = include_str!("../../cli/plan.rs");
    for (name, _) in SHIPPED {
        assert!(table.contains(&format!("| `{name}` |")), "{name}");
        assert!(help.contains(name), "{name}");
    }
}

#[test]
fn mistakes_are_named() {
    let check = |text: &str, parts: &[&str]| {
        let error = Profile::parse(text).expect_err(text);
        for part in parts {
            assert!(error.contains(part), "{text}: {error}");
        }
    };
    check("framig = \"bare\"", &["framig", "framing"]);
    check("[fields]\ntoo = \"toid\"", &["fields.too", "fields.to"]);
    check("[fields]\npasword = \"pwd\"", &["fields.pasword", "fields.password"]);
    check("[fields]\nerrno = \"code\"", &["fields.errno", "fields.result"]);
    check("[types]\nregistr = 3", &["types.registr", "types.register"]);
    check("login = 1", &["unknown key login", "types.login"]);
    check("framing = \"utf16\"", &["utf16", "length_big"]);
    check("[types]\nchat = 5", &["types.chat", "types.register_ack", "5"]);
    check("[types]\nchat = 4", &["types.chat", "types.register", "4"]);
    check("answered = [\"login\", \"register\", \"chat\"]", &["types.chat_ack"]);
    check("answered = [\"login\"]", &["register"]);
    check("answered = [\"register\"]", &["login"]);
    check("outstanding = 0", &["outstanding"]);
    check("[fields]\ntext = \"\"", &["fields.text"]);
    check("[fields]\ntext = \"msgid\"", &["fields.text", "type_key"]);
    check("done = [1]", &["done"]);
}

#[test]
fn what_is_not_there_is_said_so() {
    let check = |name: &str, part: &str| {
        let error = Profile::find(name).expect_err(name).to_string();
        assert!(error.contains(part) && error.contains(name), "{error}");
    };
    check("corse", "course, course_to, logout_last");
    check("./no/such/file.toml", "cannot read");
}

#[test]
fn a_file_says_only_what_differs() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("mine.toml");
    std::fs::write(&path, "type_key = \"msgId\"\ndone = \"ok\"\n[fields]\nto = \"to\"\n").expect("written");
    let profile = Profile::find(&path.to_string_lossy()).expect("lawful");
    assert_eq!(profile.done, Done::Text("ok".into()));
    assert_eq!((profile.fields.to.as_str(), profile.fields.text.as_str()), ("to", "msg"));
}
