//! What is shown to a person: colours, times, and other people's text made harmless.
//!
//! Whatever comes from elsewhere goes through [`harmless`] before it reaches a terminal, names included.

use crate::find::mentions;
use chat_client::Message;
use chat_protocol::conversation::Target;
use chat_protocol::message::TimeMs;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write;

/// What continuation lines of a message begin with, so that no message can look like two.
const CONTINUATION: &str = "\n    | ";

/// How things are shown: with or without colours, in which time zone.
#[derive(Clone, Debug)]
pub struct Style {
    pub colours: bool,
    pub zone: TimeZone,
}

impl Style {
    pub fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    pub fn good(&self, text: &str) -> String {
        self.paint("32", text)
    }

    pub fn bad(&self, text: &str) -> String {
        self.paint("31", text)
    }

    /// A name in a colour of its own, the same each time.
    pub fn name(&self, name: &str) -> String {
        const COLOURS: [&str; 6] = ["32", "33", "34", "35", "36", "31"];
        let sum = name.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.paint(COLOURS[sum % COLOURS.len()], &harmless(name))
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A message on one line: when, where (unless in a conversation of two), who, what. Where `me` is mentioned, it
    /// stands out.
    pub fn message(&self, message: &Message, label: &str, me: Option<&str>, now: TimeMs) -> String {
        let place = match message.target {
            Target::Group(_) => format!("{} ", self.bold(&harmless(label))),
            Target::User(_) if message.own => format!("{} ", self.dim(&format!("to {}", harmless(label)))),
            Target::User(_) => String::new(),
        };
        let time = self.dim(&self.time(message.time, now));
        let text = harmless(&message.msg);
        let text = match me.filter(|_| self.colours && !message.own) {
            Some(me) => self.marked(&text, me),
            None => text,
        };
        format!("{time} {place}{}: {text}", self.name(&message.name))
    }

    fn marked(&self, text: &str, name: &str) -> String {
        let (mut marked, mut done) = (String::with_capacity(text.len()), 0);
        for found in mentions(text, name) {
            marked.push_str(&text[done..found.start]);
            marked.push_str(&self.paint("1;7", &text[found.clone()]));
            done = found.end;
        }
        marked + &text[done..]
    }

    /// `14:03`, or `2026-11-22 14:03` on any other day than that of `now`.
    pub fn time(&self, time: TimeMs, now: TimeMs) -> String {
        let local = |time| Timestamp::from_millisecond(time).map(|time| time.to_zoned_datetime(self.zone.clone()));
        let (Ok(time), Ok(now)) = (local(time), local(now)) else { return "--:--".into() };
        let format = if time.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
        time.strftime(format).to_string()
    }
}

/// Text that cannot move the cursor, change colours or turn the reading direction: control characters become visible
/// pictures, new lines start with a mark.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str(CONTINUATION),
            '\r' => {}
            '\t' => shown.push(' '),
            '\0'..='\x1f' => shown.push(char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}')),
            '\x7f' => shown.push('\u{2421}'),
            '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.push('\u{fffd}');
            }
            other => shown.push(other),
        }
    }
    shown
}

/// Columns of text, each as wide as its widest cell.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Style {
        Style { colours: false, zone: TimeZone::UTC }
    }

    #[test]
    fn control_characters_become_visible() {
        for (text, shown) in [
            ("plain 世界 ✓", "plain 世界 ✓"),
            ("\x1b[2Jgone", "␛[2Jgone"),
            ("a\x07\x7f\u{9b}31m", "a␇␡\u{fffd}31m"),
            ("one\r\n[14:03] bob: two", "one\n    | [14:03] bob: two"),
            ("\u{202e}txt.exe", "\u{fffd}txt.exe"),
        ] {
            assert_eq!(harmless(text), shown, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_harmful_gets_through(text in proptest::prelude::any::<String>()) {
            proptest::prop_assert!(harmless(&text).chars().all(|c| c == '\n' || !c.is_control()));
        }
    }

    #[test]
    fn other_days_are_shown_with_their_date() {
        const NOON: TimeMs = 1_700_000_000_000;
        assert_eq!(plain().time(NOON, NOON), "22:13");
        assert_eq!(plain().time(NOON, NOON + 86_400_000), "2023-11-14 22:13");
        assert_eq!(plain().time(i64::MAX, NOON), "--:--");
    }

    #[test]
    fn messages_say_where_who_and_what() {
        let at = tokio::time::Instant::now();
        let message = |target, own| Message {
            conv: "c".into(),
            seq: 1,
            id: 2,
            name: "bob".into(),
            target,
            msg: "hi".into(),
            time: 0,
            mid: None,
            own,
            at,
        };
        let shown = |target, own, label: &str| plain().message(&message(target, own), label, Some("ann"), 0);
        assert_eq!(shown(Target::User(1), false, "bob"), "00:00 bob: hi");
        assert_eq!(shown(Target::User(1), true, "ann"), "00:00 to ann bob: hi");
        assert_eq!(shown(Target::Group(5), false, "#tea"), "00:00 #tea bob: hi");
        let coloured = Style { colours: true, ..plain() };
        assert!(coloured.name("bob").ends_with("mbob\x1b[0m"));
        let mut mention = message(Target::Group(5), false);
        mention.msg = "hi Ann".into();
        let shown = coloured.message(&mention, "#tea", Some("ann"), 0);
        assert!(shown.ends_with(": hi \x1b[1;7mAnn\x1b[0m"), "{shown:?}");
    }

    #[test]
    fn tables_line_up() {
        let rows = [vec!["1".to_owned(), "bob".into()], vec!["23".to_owned(), "x".into()]];
        assert_eq!(table(&rows), "  1   bob\n  23  x");
    }
}
