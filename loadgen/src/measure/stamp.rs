//! What a message's text carries unseen: which run and stream it is of, its number there, and when it should have been
//! sent.
//!
//! The rest of the text follows from the stamp, so that a recipient can tell whether a single character was changed. It
//! works in every dialect, with no acknowledgement and no id of the server's to lean on.

/// What every text of ours begins with.
const MARK: &str = "~lg";
/// What fills a text up to its size; begun at a place that depends on the number, so that neighbours differ.
const FILL: &str = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789";

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Digits of the run's number.
const RUN_DIGITS: usize = 8;

/// Texts are never shorter than this many bytes: the longest stamp.
pub const MIN_BODY_BYTES: usize = 64;

/// The identity of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Differs between any two runs, also on the same accounts.
    pub run: u32,
    pub stream: u32,
    /// Counts 0, 1, 2 … within the stream.
    pub number: u64,
    /// When it was meant to be sent, in microseconds of the run's clock.
    pub due: u64,
}

/// What a received text turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Whole(Stamp),
    /// Begins as ours do, and is not what was sent.
    Altered,
    /// Somebody else's.
    Foreign,
}

impl Stamp {
    /// Appends the text, `bytes` long (or [`MIN_BODY_BYTES`], where that is more), to `out`. ASCII without anything
    /// that JSON escapes.
    pub fn write(&self, bytes: usize, out: &mut String) {
        let start = out.len();
        let Stamp { run, stream, number, due } = self;
        out.push_str(MARK);
        out.push(' ');
        (0..RUN_DIGITS).rev().for_each(|place| out.push(char::from(HEX[(run >> (4 * place)) as usize % HEX.len()])));
        for field in [u64::from(*stream), *number, *due] {
            out.push(' ');
            out.push_str(itoa::Buffer::new().format(field));
        }
        out.push(' ');
        let mut place = (number % FILL.len() as u64) as usize;
        let mut left = bytes.max(MIN_BODY_BYTES).saturating_sub(out.len() - start);
        while left > 0 {
            let piece = &FILL[place..FILL.len().min(place + left)];
            out.push_str(piece);
            left -= piece.len();
            place = 0;
        }
    }

    /// Reads a text back.
    pub fn read(text: &str) -> Reading {
        let Some(rest) = text.strip_prefix(MARK) else { return Reading::Foreign };
        let Some((stamp, fill)) = Self::read_fields(rest) else { return Reading::Altered };
        if text.len() < MIN_BODY_BYTES || !is_fill(stamp.number, fill.as_bytes()) {
            return Reading::Altered;
        }
        Reading::Whole(stamp)
    }

    fn read_fields(rest: &str) -> Option<(Stamp, &str)> {
        let (run, rest) = rest.strip_prefix(' ')?.split_at_checked(RUN_DIGITS)?;
        let run = run.bytes().try_fold(0, |value, digit| Some(value << 4 | hex_value(digit)?))?;
        let (stream, rest) = read_number(rest)?;
        let (number, rest) = read_number(rest)?;
        let (due, rest) = read_number(rest)?;
        Some((Stamp { run, stream: stream.try_into().ok()?, number, due }, rest.strip_prefix(' ')?))
    }
}

fn hex_value(digit: u8) -> Option<u32> {
    match digit {
        b'0'..=b'9' => Some(u32::from(digit - b'0')),
        b'a'..=b'f' => Some(u32::from(digit - b'a') + 10),
        _ => None,
    }
}

/// Reads a space and a number as [`Stamp::write`] writes it, which is in one way only.
fn read_number(text: &str) -> Option<(u64, &str)> {
    let text = text.strip_prefix(' ')?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    if digits == 0 || (digits > 1 && number.starts_with('0')) {
        return None;
    }
    let add = |value: u64, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    Some((number.bytes().try_fold(0, add)?, rest))
}

fn is_fill(number: u64, mut fill: &[u8]) -> bool {
    let mut place = (number % FILL.len() as u64) as usize;
    while !fill.is_empty() {
        let expected = &FILL.as_bytes()[place..FILL.len().min(place + fill.len())];
        if &fill[..expected.len()] != expected {
            return false;
        }
        fill = &fill[expected.len()..];
        place = 0;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_reads_back_and_every_change_shows(
            run: u32, stream: u32, number: u64, due: u64, bytes in 0..300_usize, at: prop::sample::Index,
        ) {
            let stamp = Stamp { run, stream, number, due };
            let mut text = String::new();
            stamp.write(bytes, &mut text);
            prop_assert!(text.len() >= bytes.max(MIN_BODY_BYTES));
            prop_assert_eq!(Stamp::read(&text), Reading::Whole(stamp));
            let mut changed = text.clone().into_bytes();
            let place = at.index(changed.len());
            changed[place] = if changed[place] == b'#' { b'%' } else { b'#' };
            let changed = String::from_utf8(changed).expect("ASCII");
            prop_assert_ne!(Stamp::read(&changed), Reading::Whole(stamp));
        }
    }

    #[test]
    fn others_texts_are_told_apart() {
        assert_eq!(Stamp::read("hello"), Reading::Foreign);
        assert_eq!(Stamp::read("~lg 0000000f 1 2"), Reading::Altered);
    }

    #[test]
    fn a_number_is_written_in_one_way_only() {
        let stamp = Stamp { run: 0xabc, stream: 7, number: 80, due: 0 };
        let mut text = String::new();
        stamp.write(100, &mut text);
        assert_eq!(Stamp::read(&text), Reading::Whole(stamp));
        for (field, other) in
            [("abc ", "ABC "), (" 7 ", " 07 "), (" 7 ", " +7 "), (" 0 ", "  "), (" 80 ", " 99999999999999999999 ")]
        {
            assert_eq!(Stamp::read(&text.replacen(field, other, 1)), Reading::Altered, "{other}");
        }
    }
}
