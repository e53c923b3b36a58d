//! The one scanner of JSON: moves over an object of the usual form in a fraction of the time that serde takes.
//!
//! Nearly all messages are one object of whole numbers and strings without escapes, with no white space between. The
//! scanner gives up at anything else, and serde reads that from the beginning: serde alone decides what is refused, and
//! whatever the scan reads, serde would have read the same.

use serde::Deserialize;
use std::borrow::Cow;

/// A number of more digits is left to serde: it may be past 64 bits.
const MAX_DIGITS: usize = 19;

/// A text, borrowed where it holds no escapes. A newtype, since serde borrows in an `Option<Cow>` only behind one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// Moves over a text from its front; `None` wherever what comes is not of the usual form.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// What follows a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Another,
    End,
}

impl<'a> Scanner<'a> {
    /// Enters the object that `text` is.
    #[inline]
    pub fn object(text: &'a str) -> Option<Self> {
        let mut scanner = Scanner { text, at: 0 };
        scanner.skip(b'{')?;
        Some(scanner)
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = *self.text.as_bytes().get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn skip(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    #[inline]
    pub fn key(&mut self) -> Option<&'a str> {
        let key = self.string()?;
        self.skip(b':')?;
        Some(key)
    }

    /// Whether another field follows, or the object and with it the text has ended.
    #[inline]
    pub fn after_value(&mut self) -> Option<After> {
        match self.next()? {
            b',' => Some(After::Another),
            b'}' if self.at == self.text.len() => Some(After::End),
            _ => None,
        }
    }

    #[inline]
    pub fn is_at_string(&self) -> bool {
        self.text.as_bytes().get(self.at) == Some(&b'"')
    }

    #[inline]
    pub fn text(&mut self) -> Option<Text<'a>> {
        self.string().map(Cow::Borrowed).map(Text)
    }

    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        let rest = &self.text.as_bytes()[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        let is_lawful = (1..=MAX_DIGITS).contains(&digits) && (digits == 1 || rest[0] != b'0');
        is_lawful.then(|| rest[..digits].iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
    }

    #[inline]
    pub fn skip_value(&mut self) -> Option<()> {
        if self.is_at_string() { self.string().map(drop) } else { self.number().map(drop) }
    }

    /// What stands between two quotes, without escapes.
    #[inline]
    pub fn string(&mut self) -> Option<&'a str> {
        self.skip(b'"')?;
        let start = self.at;
        self.at += plain_length(&self.text.as_bytes()[start..]);
        let string = self.text.get(start..self.at)?;
        self.skip(b'"')?;
        Some(string)
    }
}

/// How many bytes at the front stand for themselves within a string: up to a quote, a backslash or a control character.
#[inline]
pub(crate) fn plain_length(bytes: &[u8]) -> usize {
    let (words, end) = bytes.as_chunks();
    for (place, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return place * size_of::<u64>() + special.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | ..b' ');
    bytes.len() - end.len() + end.iter().take_while(is_plain).count()
}

/// Marks the highest bit of each byte that does not stand for itself; beyond the first of them also of some others.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = ONES << 7;
    // A byte below the limit borrows in the subtraction, which sets its highest bit; only those after it can be wrong.
    let is_below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let is_equal = |byte: u8| is_below(word ^ (ONES * u64::from(byte)), 1);
    (is_below(word, b' ') | is_equal(b'"') | is_equal(b'\\')) & HIGHEST
}

/// Tells the structure of JSON of any form from the text in it, byte by byte.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outside {
    in_string: bool,
    escaped: bool,
}

impl Outside {
    /// Whether the next byte stands outside strings and their quotes.
    #[inline]
    pub fn holds(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ => return !self.in_string,
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn plain_bytes_are_counted_up_to_the_first_that_is_not(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let is_plain = |byte: &u8| *byte >= b' ' && !b"\"\\".contains(byte);
            prop_assert_eq!(plain_length(&bytes), bytes.iter().take_while(|byte| is_plain(byte)).count());
        }
    }
}
