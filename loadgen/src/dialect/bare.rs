//! The framing of the bare dialect: objects one after the other, told apart by matching braces outside strings.
//!
//! Servers of this family send several in one segment, one in several, with NUL bytes between them or without.

use std::ops::Range;

/// Finds the object at the front of `bytes`; `None` if it is not complete yet. What separates it from the next belongs
/// to it.
pub(super) fn split(bytes: &[u8], max_bytes: usize) -> Result<Option<(Range<usize>, usize)>, String> {
    let start = separators(bytes);
    match bytes.get(start) {
        None => return Ok(None),
        Some(b'{') => {}
        Some(_) => {
            let begin = String::from_utf8_lossy(&bytes[start..bytes.len().min(start + 16)]);
            return Err(format!("no object where one should begin: {begin:?}"));
        }
    }
    let Some(length) = object_bytes(&bytes[start..]) else {
        let long = bytes.len() > max_bytes;
        return if long { Err(format!("an object longer than {max_bytes} bytes")) } else { Ok(None) };
    };
    let end = start + length;
    Ok(Some((start..end, end + separators(&bytes[end..]))))
}

fn separators(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte == 0 || byte.is_ascii_whitespace()).count()
}

fn object_bytes(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (place, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' => depth += 1,
            b'}' => {
                // The first byte is a brace, so that the depth is above 0 here.
                depth -= 1;
                if depth == 0 {
                    return Some(place + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_apart_however_they_come() {
        let check = |text: &str, expected: Result<Option<(&str, usize)>, ()>| {
            let split = split(text.as_bytes(), 100).map_err(|_| ());
            let split = split.map(|found| found.map(|(range, end)| (&text[range], end)));
            assert_eq!(split, expected, "{text:?}");
        };
        check("", Ok(None));
        check("\0\0 \n", Ok(None));
        check("{\"a\":1", Ok(None));
        check("{}{}", Ok(Some(("{}", 2))));
        check("\0{}\0\0{}", Ok(Some(("{}", 5))));
        check("{\"a\":\"}\\\"{\",\"b\":{}} {", Ok(Some(("{\"a\":\"}\\\"{\",\"b\":{}}", 20))));
        check("HTTP/1.1 400 Bad Request", Err(()));
        check(&format!("{{{}", " ".repeat(100)), Err(()));
    }
}
