//! Where a text says something, in capitals or not: somebody's name, or what is searched for.

use std::ops::Range;

/// Where `name` stands in `text` as words of its own, in capitals or not.
pub fn mentions(text: &str, name: &str) -> Vec<Range<usize>> {
    let part =
        |character: Option<char>| character.is_some_and(|character| character.is_alphanumeric() || character == '_');
    // Characters written without spaces between words are words of their own.
    let spaced = name.chars().all(|character| character.is_ascii() || !is_ideograph(character));
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(range) = find_ignoring_case(text, name, from) {
        from = range.end;
        let (before, after) = (text[..range.start].chars().next_back(), text[range.end..].chars().next());
        if !spaced || (!part(before) && !part(after)) {
            found.push(range);
        }
    }
    found
}

/// The first place at or after `from` where `text` says `what`, in capitals or not.
pub fn find_ignoring_case(text: &str, what: &str, from: usize) -> Option<Range<usize>> {
    let what: Vec<char> = what.chars().flat_map(char::to_lowercase).collect();
    if what.is_empty() {
        return None;
    }
    text[from..].char_indices().find_map(|(offset, _)| {
        let start = from + offset;
        let mut wanted = &what[..];
        for (place, character) in text[start..].char_indices() {
            for lower in character.to_lowercase() {
                wanted = wanted.strip_prefix(&[lower][..])?;
            }
            if wanted.is_empty() {
                return Some(start..start + place + character.len_utf8());
            }
        }
        None
    })
}

/// Han, Kana and Hangul, roughly.
fn is_ideograph(character: char) -> bool {
    matches!(character, '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_are_words_in_capitals_or_not() {
        for (text, name, expected) in [
            ("hi ann", "ann", &["ann"][..]),
            ("ANN, @Ann!", "ann", &["ANN", "Ann"]),
            ("annie and joann", "ann", &[]),
            ("ann_1 anN", "ann", &["anN"]),
            ("Ann Lee?", "ann lee", &["Ann Lee"]),
            ("你好张三在吗", "张三", &["张三"]),
            ("İ ann", "ann", &["ann"]),
            ("", "ann", &[]),
            ("ann", "", &[]),
        ] {
            let found: Vec<&str> = mentions(text, name).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, expected, "{text:?} {name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,20}", name in "\\PC{0,3}") {
            for range in mentions(&text, &name) {
                proptest::prop_assert!(text.get(range).is_some());
            }
        }
    }
}
