//! The framing of the bare dialect: JSON objects one after the other, with NUL bytes or white space between them, or
//! nothing.
//!
//! Where an object ends is told by matching braces outside strings. How far that has come can be kept between calls, so
//! that a stream that drips in byte by byte is still looked at once.

use super::{Cut, Error};
use crate::scan::Outside;

/// How far an object that is not complete yet has been looked at.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Bytes from the front of the input that need not be looked at again.
    seen: usize,
    /// Braces still open.
    depth: usize,
    outside: Outside,
}

impl Scan {
    /// Finds the object that `input` begins with, its [`Scan::separators`] taken away; `Ok(None)` if it is not complete
    /// yet.
    pub fn cut(&mut self, input: &[u8], max_frame_bytes: usize) -> Result<Option<Cut>, Error> {
        if self.seen == 0 && input.first().is_some_and(|&first| first != b'{') {
            return Err(Error::NoObject);
        }
        if let Some(end) = self.end_of_object(&input[..input.len().min(max_frame_bytes)]) {
            *self = Scan::default();
            return Ok(Some(Cut { payload: 0..end, end }));
        }
        if input.len() > max_frame_bytes {
            return Err(Error::ObjectTooLong { limit: max_frame_bytes });
        }
        Ok(None)
    }

    /// How many bytes at the front of `input` stand before the next object: none once one has begun.
    pub fn separators(&self, input: &[u8]) -> usize {
        if self.seen > 0 { 0 } else { separators(input) }
    }

    fn end_of_object(&mut self, input: &[u8]) -> Option<usize> {
        for &byte in &input[self.seen..] {
            self.seen += 1;
            if !self.outside.holds(byte) {
                continue;
            }
            match byte {
                b'{' => self.depth += 1,
                b'}' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(self.seen);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// Finds the object at the front of `input`, for a reader that keeps nothing between calls. Separators on either side
/// belong to it.
pub fn cut(input: &[u8], max_frame_bytes: usize) -> Result<Option<Cut>, Error> {
    let start = separators(input);
    let Some(Cut { payload, end }) = Scan::default().cut(&input[start..], max_frame_bytes)? else { return Ok(None) };
    let end = start + end;
    Ok(Some(Cut { payload: start..start + payload.end, end: end + separators(&input[end..]) }))
}

fn separators(input: &[u8]) -> usize {
    input.iter().take_while(|&&byte| byte == 0 || byte.is_ascii_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_object_is_looked_at_once() {
        let mut scan = Scan::default();
        let object = br#"{"a":"}\"}{","b":{"c":"\\"}}"#;
        for place in 0..object.len() {
            assert_eq!(scan.seen, place);
            let cut = scan.cut(&object[..=place], 100).expect("a lawful object");
            assert_eq!(cut.is_some(), place + 1 == object.len(), "{place}");
        }
        assert_eq!(scan.seen, 0);
    }

    #[test]
    fn separators_count_only_before_an_object() {
        let mut scan = Scan::default();
        assert_eq!(scan.separators(b"\0\0 \r\n\t"), 6);
        assert_eq!(scan.cut(b"{", 100), Ok(None));
        assert_eq!(scan.separators(b" {"), 0);
    }

    #[test]
    fn objects_are_told_apart_however_they_come() {
        let check = |text: &str, expected: Result<Option<(&str, usize)>, Error>| {
            let found = cut(text.as_bytes(), 100).map(|cut| cut.map(|cut| (&text[cut.payload], cut.end)));
            assert_eq!(found, expected, "{text:?}");
        };
        check("", Ok(None));
        check("\0\0 \n", Ok(None));
        check("{\"a\":1", Ok(None));
        check("{}{}", Ok(Some(("{}", 2))));
        check("\0{}\0\0{}", Ok(Some(("{}", 5))));
        check("{\"a\":\"}\\\"{\",\"b\":{}} {", Ok(Some(("{\"a\":\"}\\\"{\",\"b\":{}}", 20))));
        check("HTTP/1.1 400 Bad Request", Err(Error::NoObject));
        check(&format!("{{{}", " ".repeat(100)), Err(Error::ObjectTooLong { limit: 100 }));
    }
}
