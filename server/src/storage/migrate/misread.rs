//! UTF-8 that a database took for GBK, and back.
//!
//! The classic servers tell MySQL `set names gbk`, while their clients speak UTF-8: 张三 is stored as 寮犱笁. Encoding that
//! as GBK gives the bytes as they were sent, as far as the database kept them. What is no pair of GBK it did not:
//! MariaDB puts a `?` in place of the byte, MySQL one in place of the byte and its neighbour, and drops a last odd
//! byte.

use encoding_rs::GBK;

/// What takes the place of a character whose bytes the database did not keep.
pub const LOST: char = '\u{FFFD}';
/// The longest rest of a UTF-8 character whose beginning is lost.
const MAX_TAIL: usize = 3;

/// What a stored text may have been.
#[derive(Debug, PartialEq, Eq)]
pub enum Origin {
    /// All ASCII, which is the same in every character set.
    Ascii,
    /// Never UTF-8 that was taken for GBK.
    Genuine,
    Misread(Misread),
}

/// UTF-8 taken for GBK, if what it becomes makes more sense than what is stored.
#[derive(Debug, PartialEq, Eq)]
pub struct Misread {
    pub meant: String,
    /// How many characters of it are [`LOST`].
    pub lost: usize,
    /// How many characters of it are there, and not ASCII.
    pub kept: usize,
    /// Whether `kept` are characters of Chinese text and its surroundings, all of them. Two Chinese characters in GBK
    /// can happen to be two of another script in UTF-8, as 模 is ģ; three that happen to be two Chinese ones are rare.
    pub convincing: bool,
}

/// Looks at one stored text.
pub fn origin(stored: &str) -> Origin {
    if stored.is_ascii() {
        return Origin::Ascii;
    }
    match bytes(stored).and_then(|bytes| undo(&bytes, Neighbour::Kept)) {
        Some(misread) => Origin::Misread(misread),
        None => Origin::Genuine,
    }
}

/// The text, a JSON object, where MySQL took the quote behind a lost byte for its other half; `None` if it is not
/// misread.
pub fn with_lost_quotes(stored: &str) -> Option<String> {
    bytes(stored).and_then(|bytes| undo(&bytes, Neighbour::LostQuote)).map(|misread| misread.meant)
}

/// The bytes that a database read as this text, if it can have read it as GBK.
fn bytes(stored: &str) -> Option<Vec<u8>> {
    // The only character whose GBK, here and in browsers, is no pair of bytes; MySQL and MariaDB know no such byte.
    if stored.contains('€') {
        return None;
    }
    let (bytes, _, unmappable) = GBK.encode(stored);
    (!unmappable).then(|| bytes.into_owned())
}

/// What stood behind a lost byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Neighbour {
    Kept,
    /// A quote before a JSON delimiter.
    LostQuote,
}

/// The UTF-8 in `bytes`. `None` if they are none, or not but for what a database loses.
fn undo(bytes: &[u8], neighbour: Neighbour) -> Option<Misread> {
    let mut text = Text { meant: String::with_capacity(bytes.len()), lost: 0, tail: 0, state: State::Whole };
    for chunk in bytes.utf8_chunks() {
        text.valid(chunk.valid(), neighbour)?;
        text.invalid(chunk.invalid())?;
    }
    let Text { meant, lost, .. } = text;
    let mut kept = meant.chars().filter(|character| !character.is_ascii() && *character != LOST).peekable();
    let any = kept.peek().is_some();
    let (count, expected) = kept.fold((0, true), |(count, all), one| (count + 1, all && is_expected(one)));
    Some(Misread { meant, lost, kept: count, convincing: any && expected })
}

/// Text that is being read.
struct Text {
    meant: String,
    lost: usize,
    /// Bytes of the rest of a character whose beginning is lost.
    tail: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// A character has begun: next comes the `?` for its other bytes, or the end of the text.
    Begun,
    /// The `?` has come, perhaps for the beginning of another character as well.
    Lost,
}

impl Text {
    fn valid(&mut self, mut valid: &str, neighbour: Neighbour) -> Option<()> {
        if valid.is_empty() {
            return Some(());
        }
        if self.state == State::Begun {
            valid = valid.strip_prefix('?')?;
            self.state = State::Lost;
            if neighbour == Neighbour::LostQuote && valid.starts_with([',', '}', ':']) {
                self.meant.push('"');
            }
        }
        if !valid.is_empty() {
            self.meant.push_str(valid);
            self.state = State::Whole;
        }
        Some(())
    }

    fn invalid(&mut self, invalid: &[u8]) -> Option<()> {
        let Some(first) = invalid.first() else { return Some(()) };
        match (self.state, first) {
            (State::Lost, 0x80..=0xBF) if self.tail < MAX_TAIL => {
                // One more character, of which this is the end.
                if self.tail == 0 {
                    self.lose();
                }
                self.tail += 1;
            }
            (State::Whole | State::Lost, 0xC2..=0xF4) => {
                self.lose();
                self.tail = 0;
                self.state = State::Begun;
            }
            _ => return None,
        }
        Some(())
    }

    fn lose(&mut self) {
        self.meant.push(LOST);
        self.lost += 1;
    }
}

/// Whether the character is likely in what people write who use GBK: Chinese, its punctuation and that of full width,
/// kana, emoji and other symbols.
fn is_expected(character: char) -> bool {
    matches!(character,
        '\u{2000}'..='\u{206F}'
        | '\u{2100}'..='\u{27BF}'
        | '\u{2E80}'..='\u{30FF}'
        | '\u{3200}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FE00}'..='\u{FE6F}'
        | '\u{FF00}'..='\u{FFEF}'
        | '\u{1F000}'..='\u{1FAFF}'
        | '\u{20000}'..='\u{323AF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn misread(stored: &str) -> Misread {
        match origin(stored) {
            Origin::Misread(misread) => misread,
            other => panic!("{stored}: {other:?}"),
        }
    }

    #[test]
    fn whole_texts_are_as_they_were_sent() {
        for (stored, sent) in [
            ("寮犱笁", "张三"),
            ("浣犲ソ", "你好"),
            ("瀵嗙爜", "密码"),
            ("鐜媋", "王a"),
            ("鐜媆x", "王\\x"),
            ("馃憢a", "👋a"),
            ("hello 浣犲ソ, 123", "hello 你好, 123"),
        ] {
            let misread = misread(stored);
            assert_eq!((&*misread.meant, misread.lost, misread.convincing), (sent, 0, true), "{stored}");
        }
        // Possible, but as likely Chinese for what it says.
        assert_eq!((&*misread("茅").meant, misread("茅").convincing), ("é", false));
        assert_eq!((&*misread("模").meant, misread("模").convincing), ("ģ", false));
    }

    #[test]
    fn lost_bytes_are_found_as_mariadb_and_as_mysql_leave_them() {
        for (stored, meant, lost) in [
            ("浣犲ソ鍚?", "你好\u{FFFD}", 1),
            ("浣犲ソ鍚", "你好\u{FFFD}", 1),
            ("浣犲ソ鍚??", "你好\u{FFFD}?", 1),
            ("浣犲ソ鍚? x", "你好\u{FFFD} x", 1),
            ("涓?枃abc涓?枃瀛?", "\u{FFFD}\u{FFFD}abc\u{FFFD}\u{FFFD}\u{FFFD}", 5),
            ("鐜?x", "\u{FFFD}x", 1),
        ] {
            let misread = misread(stored);
            assert_eq!((&*misread.meant, misread.lost), (meant, lost), "{stored}");
        }
        assert_eq!(
            with_lost_quotes(r#"{"msg":"鐜?,"msgid":6}"#).as_deref(),
            Some("{\"msg\":\"\u{FFFD}\",\"msgid\":6}")
        );
    }

    #[test]
    fn genuine_text_is_told_apart() {
        for stored in [
            "张三",
            "李四",
            "王五",
            "你好",
            "你好吗",
            "你好吗?",
            "你好？",
            "密码",
            "群聊",
            "测试一下",
            "世界 👋",
            "é",
            "€",
            "中文",
            "中文abc中文字",
            "哈哈哈哈",
            "今天天气不错，我们去公园吧",
            "C++ 聊天",
            "欢迎加入!",
            "ok 好的",
            "ＡＢＣ",
        ] {
            assert_eq!(origin(stored), Origin::Genuine, "{stored}");
        }
        for stored in ["", "zhang san", "123456", "'; DROP", "?", "\u{7f}"] {
            assert_eq!(origin(stored), Origin::Ascii, "{stored}");
        }
    }
}
