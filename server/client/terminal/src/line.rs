//! What a person typed: one line to one [`Line`].
//!
//! Commands start with `/`; the commands of the classic course client (`chat:2:hello`, `loginout`, …) are understood as
//! well; anything else is a message to the current conversation. Names with spaces go in double quotes.

use crate::format::table;

/// One typed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Nothing,
    /// A message to the current conversation.
    Say(String),
    Help,
    Register(Option<String>),
    Login(Option<String>),
    Logout,
    Add(String),
    Remove(String),
    Create {
        name: String,
        description: String,
    },
    Join(String),
    Leave(Option<String>),
    Groups,
    Friends,
    Who,
    History {
        of: Option<Whom>,
        count: u32,
    },
    Search(String),
    To(Whom),
    Message {
        to: Whom,
        text: String,
    },
    Password,
    Unread,
    Quit,
    /// It was meant as a command and is not one: what to say about it.
    Wrong(String),
}

/// Whom a message is for, as typed: names and numbers are told apart when they are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    Person(String),
    Group(String),
}

/// How many messages `/history` shows.
const HISTORY_DEFAULT: u32 = 20;
const HISTORY_MOST: u32 = 200;

/// Every command: its name, what it takes, what it does. Help, completion and the parser's complaints come from here.
pub const COMMANDS: &[(&str, &str, &str)] = &[
    ("register", "NAME", "make an account and log in; asks for a password"),
    ("login", "NAME", "log in; asks for the password"),
    ("logout", "", "log out"),
    ("to", "NAME | #GROUP", "choose whom plain text goes to"),
    ("msg", "NAME | #GROUP TEXT", "send one message"),
    ("say", "TEXT", "send TEXT to the current conversation as it is, also if it looks like a command"),
    (
        "history",
        "[NAME | #GROUP] [COUNT]",
        "show the last messages, of the current conversation or another (20, at most 200)",
    ),
    ("search", "TEXT", "show where TEXT stands in what was received or shown by /history so far"),
    ("unread", "", "count the messages you have not looked at"),
    ("friends", "", "list your friends"),
    ("add", "NAME | ID", "make someone your friend"),
    ("remove", "NAME | ID", "end a friendship"),
    ("groups", "", "list your groups"),
    ("create", "GROUP [DESCRIPTION]", "make a group"),
    ("join", "ID", "join a group"),
    ("leave", "[#GROUP | ID]", "leave a group; without one, the current"),
    ("who", "", "list who is in the current group, or which friends are online"),
    ("password", "", "change your password"),
    ("help", "", "show this"),
    ("quit", "", "leave"),
];

/// All commands, for a person.
pub fn help() -> String {
    let row = |(name, takes, does): &(&str, &str, &str)| vec![format!("/{name} {takes}"), does.to_string()];
    let rows: Vec<_> = COMMANDS.iter().map(row).collect();
    let rest = "Anything else is sent to the current conversation. Names with spaces: \"Ann Lee\".";
    format!("{}\n  {rest}", table(&rows))
}

/// Reads a line. With `loggedin` false, `login NAME` and `register NAME` work without the slash.
pub fn parse(line: &str, loggedin: bool) -> Line {
    let trimmed = line.trim();
    if trimmed.is_empty() {
        return Line::Nothing;
    }
    if let Some(text) = trimmed.strip_prefix("//") {
        return Line::Say(format!("/{text}"));
    }
    if let Some(command) = trimmed.strip_prefix('/') {
        return parse_command(command);
    }
    if let Some(line) = parse_classic(trimmed) {
        return line;
    }
    let first = trimmed.split_whitespace().next().unwrap_or_default();
    if !loggedin && matches!(first, "login" | "register" | "quit" | "help") {
        return parse_command(trimmed);
    }
    Line::Say(trimmed.to_owned())
}

fn parse_command(command: &str) -> Line {
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    let name = name.to_lowercase();
    let all = || Some(unquoted(rest)).filter(|text| !text.is_empty());
    let needed = |make: fn(String) -> Line| all().map_or_else(|| usage(&name), make);
    match name.as_str() {
        "help" | "h" | "?" => Line::Help,
        "register" => Line::Register(all()),
        "login" => Line::Login(all()),
        "logout" => Line::Logout,
        "add" => needed(Line::Add),
        "remove" => needed(Line::Remove),
        "create" => parse_create(rest),
        "join" => needed(Line::Join),
        "leave" => Line::Leave(all()),
        "groups" => Line::Groups,
        "friends" => Line::Friends,
        "who" => Line::Who,
        "history" => parse_history(rest),
        "search" => needed(Line::Search),
        "to" => needed(|name| Line::To(whom(&name))),
        "msg" => parse_message(rest),
        "say" => needed(Line::Say),
        "password" => Line::Password,
        "unread" => Line::Unread,
        "quit" | "exit" | "q" => Line::Quit,
        _ => Line::Wrong(format!("no command /{name}; /help lists them")),
    }
}

fn usage(name: &str) -> Line {
    let takes = COMMANDS.iter().find(|(known, ..)| *known == name).map_or("", |(_, takes, _)| takes);
    Line::Wrong(format!("usage: /{name} {takes}"))
}

fn parse_create(rest: &str) -> Line {
    match word(rest) {
        Some((name, description)) => Line::Create { name, description: description.to_owned() },
        None => usage("create"),
    }
}

fn parse_history(rest: &str) -> Line {
    if is_number(rest) || rest.is_empty() {
        return history(None, rest);
    }
    let (group, rest) = rest.strip_prefix('#').map_or((false, rest), |rest| (true, rest));
    match name_and_count(rest) {
        None | Some(("", _)) => usage("history"),
        Some((name, count)) if group => history(Some(Whom::Group(name.to_owned())), count),
        Some((name, count)) => history(Some(Whom::Person(name.to_owned())), count),
    }
}

fn history(of: Option<Whom>, count: &str) -> Line {
    match count.parse() {
        Ok(count @ 1..=HISTORY_MOST) => Line::History { of, count },
        Err(_) if count.is_empty() => Line::History { of, count: HISTORY_DEFAULT },
        _ => usage("history"),
    }
}

/// A name, in double quotes or not, and the number behind it if there is one.
fn name_and_count(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.split_once('"').map(|(name, count)| (name, count.trim_start()));
    }
    match text.rsplit_once(' ') {
        Some((name, count)) if is_number(count) => Some((name.trim_end(), count)),
        _ => Some((text, "")),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_message(rest: &str) -> Line {
    let (group, rest) = rest.strip_prefix('#').map_or((false, rest), |rest| (true, rest));
    match word(rest) {
        Some((name, text)) if !text.is_empty() => {
            let to = if group { Whom::Group(name) } else { whom(&name) };
            Line::Message { to, text: text.to_owned() }
        }
        _ => usage("msg"),
    }
}

/// The commands people of this family know: fields between colons, the last one taking the rest.
fn parse_classic(line: &str) -> Option<Line> {
    match line {
        "help" => return Some(Line::Help),
        "loginout" => return Some(Line::Logout),
        _ => {}
    }
    let (command, rest) = line.split_once(':')?;
    let number = |text: &str| text.trim().parse::<u64>().ok().map(|number| number.to_string());
    match command {
        "chat" => {
            let (friend, text) = rest.split_once(':')?;
            Some(Line::Message { to: Whom::Person(number(friend)?), text: text.to_owned() })
        }
        "groupchat" => {
            let (group, text) = rest.split_once(':')?;
            Some(Line::Message { to: Whom::Group(number(group)?), text: text.to_owned() })
        }
        "addfriend" => Some(Line::Add(number(rest)?)),
        "addgroup" => Some(Line::Join(number(rest)?)),
        "creategroup" => {
            let (name, description) = rest.split_once(':').unwrap_or((rest, ""));
            Some(Line::Create { name: name.trim().to_owned(), description: description.trim().to_owned() })
        }
        _ => None,
    }
}

fn whom(name: &str) -> Whom {
    match name.strip_prefix('#') {
        Some(group) => Whom::Group(unquoted(group)),
        None => Whom::Person(name.to_owned()),
    }
}

/// The first word, or what stands in double quotes at the start, and the rest.
fn word(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (word, rest) = quoted.split_once('"')?;
        return Some((word.to_owned(), rest.trim_start())).filter(|(word, _)| !word.is_empty());
    }
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (!word.is_empty()).then(|| (word.to_owned(), rest.trim_start()))
}

/// The text without double quotes around all of it.
fn unquoted(text: &str) -> String {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> Whom {
        Whom::Person(name.into())
    }

    fn group(name: &str) -> Whom {
        Whom::Group(name.into())
    }

    #[test]
    fn lines_parse() {
        let check = |line: &str, expected: Line| assert_eq!(parse(line, true), expected, "{line}");
        check("  ", Line::Nothing);
        check("hello: world", Line::Say("hello: world".into()));
        check("//etc", Line::Say("/etc".into()));
        check("/say /help", Line::Say("/help".into()));
        check("/HELP", Line::Help);
        check("/login", Line::Login(None));
        check("/login Ann Lee", Line::Login(Some("Ann Lee".into())));
        check("/to bob", Line::To(person("bob")));
        check("/to #tea club", Line::To(group("tea club")));
        check("/to #\"tea club\"", Line::To(group("tea club")));
        check("/msg bob  hi  there ", Line::Message { to: person("bob"), text: "hi  there".into() });
        check("/msg \"Ann Lee\" hi", Line::Message { to: person("Ann Lee"), text: "hi".into() });
        check("/msg #tea hi", Line::Message { to: group("tea"), text: "hi".into() });
        check("/msg #\"tea club\" hi", Line::Message { to: group("tea club"), text: "hi".into() });
        check(
            "/create tea for those who drink it",
            Line::Create { name: "tea".into(), description: "for those who drink it".into() },
        );
        check("/search a cup", Line::Search("a cup".into()));
        check("/leave", Line::Leave(None));
        check("/quit", Line::Quit);
        for wrong in [
            "/add",
            "/msg bob",
            "/msg",
            "/msg \"bob hi",
            "/history 0",
            "/history 201",
            "/history bob 0",
            "/history \"bob",
            "/history \"bob\" x",
            "/history #",
            "/search",
            "/create",
            "/nonsense",
        ] {
            assert!(matches!(parse(wrong, true), Line::Wrong(_)), "{wrong}");
        }
    }

    #[test]
    fn history_is_of_the_current_conversation_or_a_named_one() {
        let check = |line: &str, of: Option<Whom>, count: u32| {
            assert_eq!(parse(line, true), Line::History { of, count }, "{line}");
        };
        check("/history", None, 20);
        check("/history 7", None, 7);
        check("/history bob", Some(person("bob")), 20);
        check("/history bob 7", Some(person("bob")), 7);
        check("/history Ann Lee", Some(person("Ann Lee")), 20);
        check("/history Ann Lee 7", Some(person("Ann Lee")), 7);
        check("/history \"7\"", Some(person("7")), 20);
        check("/history \"agent 7\" 3", Some(person("agent 7")), 3);
        check("/history #tea", Some(group("tea")), 20);
        check("/history #tea club 200", Some(group("tea club")), 200);
        check("/history #\"tea 9\" 8", Some(group("tea 9")), 8);
        check("/history #5", Some(group("5")), 20);
    }

    #[test]
    fn classic_commands_parse() {
        let check = |line: &str, expected: Line| assert_eq!(parse(line, true), expected, "{line}");
        check("chat:2:hello: you", Line::Message { to: person("2"), text: "hello: you".into() });
        check("groupchat:3:hi", Line::Message { to: group("3"), text: "hi".into() });
        check("addfriend:4", Line::Add("4".into()));
        check("addgroup:5", Line::Join("5".into()));
        check("creategroup:tea:hot", Line::Create { name: "tea".into(), description: "hot".into() });
        check("loginout", Line::Logout);
        check("help", Line::Help);
        check("chat:bob:hi", Line::Say("chat:bob:hi".into()));
        check("addfriend:", Line::Say("addfriend:".into()));
    }

    #[test]
    fn before_login_the_slash_can_be_left_out() {
        assert_eq!(parse("login ann", false), Line::Login(Some("ann".into())));
        assert_eq!(parse("login ann", true), Line::Say("login ann".into()));
        assert_eq!(parse("quit", false), Line::Quit);
    }

    #[test]
    fn help_lists_all_commands() {
        insta::assert_snapshot!(help());
    }

    #[test]
    fn every_listed_command_is_understood() {
        for (name, ..) in COMMANDS {
            let parsed = parse(&format!("/{name}"), true);
            assert!(!matches!(&parsed, Line::Wrong(text) if text.starts_with("no command")), "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in "\\PC{0,40}", slash in "/?(msg|to|create|history)? ?#?\"?") {
            parse(&format!("{slash}{line}"), true);
        }
    }
}
