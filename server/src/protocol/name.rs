//! The one spelling of a user's or group's name.
//!
//! Names are compared exactly once they are in Unicode NFC. What the eye cannot tell apart, white space at either end
//! and control characters, is no part of a name.

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The longest name, in characters after normalisation.
pub const MAX_NAME_CHARACTERS: usize = 50;

/// A text longer than this is no name in any spelling (a character decomposes into four at most, of four bytes each), so
/// that nobody can have megabytes normalised.
const MAX_UNNORMALISED_BYTES: usize = MAX_NAME_CHARACTERS * 4 * 4;

/// What a name must be, as a refusal says it.
pub const LAWFUL: &str = "1 to 50 characters without control characters or white space at either end";

/// `name` in its one spelling; `None` if it is not what [`LAWFUL`] says.
pub fn normalise(name: &str) -> Option<String> {
    if name.len() > MAX_UNNORMALISED_BYTES {
        return None;
    }
    let name: String = if is_nfc(name) { name.to_owned() } else { name.nfc().collect() };
    let in_length = (1..=MAX_NAME_CHARACTERS).contains(&name.chars().count());
    let clean = !name.chars().any(char::is_control) && name.trim().len() == name.len();
    (in_length && clean).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        for (name, expected) in [
            ("a", Some("a")),
            ("李 雷", Some("李 雷")),
            ("e\u{301}", Some("é")),
            ("é", Some("é")),
            ("", None),
            (" a", None),
            ("a\u{3000}", None),
            ("a\u{a0}", None),
            ("a\nb", None),
            ("a\0", None),
            ("a\u{85}b", None),
            ("a\u{7f}", None),
        ] {
            assert_eq!(normalise(name).as_deref(), expected, "{name:?}");
        }
    }

    #[test]
    fn length_is_counted_in_characters_after_normalising() {
        assert!(normalise(&"界".repeat(50)).is_some());
        assert!(normalise(&"界".repeat(51)).is_none());
        assert!(normalise(&"e\u{301}".repeat(50)).is_some());
        assert!(normalise(&"a".repeat(1 << 20)).is_none());
    }
}
