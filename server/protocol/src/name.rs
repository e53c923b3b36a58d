//! The one spelling of a user's or group's name.
//!
//! Names are compared exactly once they are in Unicode NFC. What the eye cannot tell apart is no part of a name: white
//! space at either end, control characters and, in new names, all else that cannot be seen. Older accounts that have
//! such names keep them and log in by them, so there are two rules: what may be a name, and what one may be called
//! anew.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The longest name, in characters after normalisation.
pub const MAX_NAME_CHARACTERS: usize = 50;

/// A text longer than this is no name in any spelling (a character decomposes into four at most, of four bytes each),
/// so that nobody can have megabytes normalised.
const MAX_UNNORMALISED_BYTES: usize = MAX_NAME_CHARACTERS * 4 * 4;

/// What nodes call themselves in chat lines of their own.
const NODES_NAME: &str = "server";

/// What a name must be, as a refusal says it.
pub const LAWFUL: &str = "1 to 50 characters without control characters or white space at either end";

/// What a new name must not be beside [`LAWFUL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    Invisible(char),
    /// To the eye it is what nodes call themselves. Only users must not be called so: groups do not speak.
    NodesName,
}

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

/// Why a normalised name cannot be a new group's.
pub fn objection_to_group(name: &str) -> Option<Objection> {
    name.chars().find(|character| is_invisible(*character)).map(Objection::Invisible)
}

/// Why a normalised name cannot be a new user's.
pub fn objection_to_user(name: &str) -> Option<Objection> {
    let is_nodes = || name.nfkc().flat_map(char::to_lowercase).eq(NODES_NAME.chars());
    objection_to_group(name).or_else(|| is_nodes().then_some(Objection::NodesName))
}

/// Whether a character shows nothing of its own, or works on others from between them: what Unicode has ignored by
/// default (zero width, joiners, fillers, tags, variation selectors), all format characters (among them those that turn
/// the direction of text), line and paragraph separators, and the Braille pattern without dots, which is a blank by
/// another name.
fn is_invisible(character: char) -> bool {
    let is_format = || {
        let category = CodePointMapData::<GeneralCategory>::new().get(character);
        matches!(
            category,
            GeneralCategory::Format | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator
        )
    };
    let is_ignorable = || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character);
    !character.is_ascii() && (character == '\u{2800}' || is_ignorable() || is_format())
}

impl Objection {
    /// What was expected instead.
    pub fn expected(self) -> String {
        match self {
            Objection::Invisible(character) => {
                format!("no characters that cannot be seen, such as U+{:04X}", u32::from(character))
            }
            Objection::NodesName => format!("another name than {NODES_NAME}, which nodes call themselves"),
        }
    }
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

    #[test]
    fn nobody_new_is_called_what_cannot_be_seen() {
        for invisible in [
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0061}',
            '\u{e0100}',
        ] {
            for name in [format!("al{invisible}ice"), format!("alice{invisible}"), invisible.to_string()] {
                let objection = Some(Objection::Invisible(invisible));
                assert_eq!((objection_to_user(&name), objection_to_group(&name)), (objection, objection), "{name:?}");
            }
        }
        for visible in ["alice", "李 雷", "Zoë", "محمد", "नमस्ते", "한글", "👍🏽", "d’Arc", "ß", "a\u{2003}b", "ก็"]
        {
            assert_eq!(objection_to_user(visible), None, "{visible:?}");
        }
    }

    #[test]
    fn no_user_is_called_what_nodes_call_themselves() {
        for name in
            ["server", "Server", "SERVER", "ｓｅｒｖｅｒ", "ＳｅｒＶＥＲ", "ſerver", "𝐬𝐞𝐫𝐯𝐞𝐫", "ⓢⓔⓡⓥⓔⓡ", "serᵥer"]
        {
            assert_eq!(objection_to_user(name), Some(Objection::NodesName), "{name}");
            assert_eq!(objection_to_group(name), None, "{name}");
        }
        for name in ["servers", "the server", "serve", "s erver", "sérver"] {
            assert_eq!(objection_to_user(name), None, "{name}");
        }
    }
}
