//! Whole databases and single rows, before and after their repair.

use super::super::classic::{Group, User};
use super::*;

fn user(id: i64, name: &str, password: &str) -> User {
    User { id, name: name.into(), password: password.into() }
}

fn offline(message: &str) -> Offline {
    Offline { user: 2, message: message.into() }
}

fn repaired(mut classic: Classic, encoding: Encoding) -> (Classic, MigrationReport) {
    let mut report = MigrationReport::default();
    repair(&mut classic, encoding, &mut report);
    (classic, report)
}

fn messages(rows: &[&str]) -> (Vec<String>, MigrationReport) {
    let offline = rows.iter().map(|row| offline(row)).collect();
    let (classic, report) = repaired(Classic { offline, ..Default::default() }, Encoding::Auto);
    (classic.offline.into_iter().map(|row| row.message).collect(), report)
}

#[test]
fn everything_of_a_misread_database_is_repaired() {
    let classic = Classic {
        users: vec![user(1, "寮犱笁", "瀵嗙爜"), user(2, "li", "123456"), user(3, "茅", "x")],
        groups: vec![Group { id: 1, name: "缇よ亰".into(), description: "浣犲ソ".into() }],
        offline: vec![offline(r#"{"id":1,"msg":"浣犲ソ","msgid":6}"#)],
        ..Default::default()
    };
    let (classic, report) = repaired(classic, Encoding::Auto);
    assert_eq!((&*classic.users[0].name, &*classic.users[0].password), ("张三", "密码"));
    assert_eq!(classic.users[2].name, "é", "all else shows that it is");
    assert_eq!((&*classic.groups[0].name, &*classic.groups[0].description), ("群聊", "你好"));
    assert_eq!(classic.offline[0].message, r#"{"id":1,"msg":"你好","msgid":6}"#);
    assert_eq!((report.repaired, report.repaired_in_part, report.unrepaired), (6, 0, 0));
    assert_eq!(report.problems, []);
    assert!(report.examples.iter().all(|example| !example.before.contains("瀵嗙爜")), "a password");
}

#[test]
fn genuine_chinese_is_left_alone() {
    let users = ["张三", "李四", "模", "木", "瑾瑜", "联通", "世界 👋"];
    let users: Vec<User> = (1..).zip(users).map(|(id, name)| user(id, name, "中文密码")).collect();
    let names = users.iter().map(|user| user.name.clone()).collect::<Vec<_>>();
    let offline = vec![offline(r#"{"id":1,"msg":"你好吗?","msgid":6}"#)];
    let (classic, report) = repaired(Classic { users, offline, ..Default::default() }, Encoding::Auto);
    assert_eq!(classic.users.into_iter().map(|user| user.name).collect::<Vec<_>>(), names);
    assert_eq!(report, MigrationReport::default());
}

#[test]
fn in_a_mixed_database_only_what_convinces_is_repaired_and_the_doubtful_is_named() {
    let users = vec![user(1, "寮犱笁", "x"), user(2, "李四", "y"), user(3, "模", "z")];
    let (classic, report) = repaired(Classic { users, ..Default::default() }, Encoding::Auto);
    let names: Vec<_> = classic.users.iter().map(|user| &*user.name).collect();
    assert_eq!(names, ["张三", "李四", "模"]);
    assert_eq!((report.repaired, report.unrepaired), (1, 1));
    assert!(report.problems[0].to_string().contains("模"), "{:?}", report.problems);
}

#[test]
fn what_is_said_of_the_encoding_is_done() {
    let users = || vec![user(1, "寮犱笁", "x"), user(2, "李四", "y"), user(3, "茅", "z")];
    let (classic, report) = repaired(Classic { users: users(), ..Default::default() }, Encoding::Utf8);
    assert_eq!((&*classic.users[0].name, report), ("寮犱笁", MigrationReport::default()));
    let (classic, report) = repaired(Classic { users: users(), ..Default::default() }, Encoding::Gbk);
    let names: Vec<_> = classic.users.iter().map(|user| &*user.name).collect();
    assert_eq!((names, report.repaired), (vec!["张三", "李四", "é"], 2));
}

#[test]
fn lost_characters_are_marked_and_named_and_a_damaged_password_is_not_guessed() {
    let users = vec![user(1, "浣犲ソ鍚?", "浣犲ソ鍚?"), user(2, "涓?枃", "x")];
    let (classic, report) = repaired(Classic { users, ..Default::default() }, Encoding::Auto);
    assert_eq!((&*classic.users[0].name, &*classic.users[0].password), ("你好\u{FFFD}", "浣犲ソ鍚?"));
    assert_eq!(classic.users[1].name, "涓?枃", "nothing of it is left: the stored form says more");
    assert_eq!((report.repaired, report.repaired_in_part, report.unrepaired), (0, 1, 2));
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].contains("浣犲ソ鍚?") && problems[0].contains("1 character is lost"), "{problems:?}");
    assert!(problems[1].contains("password") && !problems[1].contains("浣犲ソ"), "{problems:?}");
}

#[test]
fn quote_that_mysql_took_with_an_odd_byte_is_put_back() {
    let (rows, report) =
        messages(&[r#"{"id":1,"msg":"浣犲ソ鍚?,"msgid":6}"#, r#"{"id":1,"msg":"浣犲ソ鍚?","msgid":6}"#]);
    assert_eq!(rows, ["{\"id\":1,\"msg\":\"你好\u{FFFD}\",\"msgid\":6}"; 2]);
    assert_eq!((report.repaired_in_part, report.unescaped), (2, 0));
}

#[test]
fn lost_backslashes_are_put_back() {
    let broken = r#"{"id":1,"msg":"say "hi"","msgid":6}"#;
    let (rows, report) = messages(&[broken, r#"{"id":1,"msg":"C:\new","msgid":6}"#, r#"{"id":1,"msg":"x"}"#]);
    let expected =
        [r#"{"id":1,"msg":"say \"hi\"","msgid":6}"#, r#"{"id":1,"msg":"C:\\new","msgid":6}"#, r#"{"id":1,"msg":"x"}"#];
    assert_eq!((rows, report.unescaped), (expected.map(str::to_owned).to_vec(), 2));
    assert_eq!(report.examples[0].before, broken);
}

#[test]
fn backslashes_of_a_server_that_kept_them_are_escapes() {
    let rows = [r#"{"id":1,"msg":"C:\new","msgid":6}"#, r#"{"id":1,"msg":"\"","msgid":6}"#];
    assert_eq!(messages(&rows), (rows.map(str::to_owned).to_vec(), MigrationReport::default()));
    let (again, report) = messages(&[rows[0], rows[1], r#"{"id":1,"msg":""","msgid":6}"#]);
    assert_eq!(again[0], rows[0]);
    assert_eq!(report.unescaped, 1);
}
