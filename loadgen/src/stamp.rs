//! What a message's text carries unseen: which run and stream it is of, its number there, and when it should have been sent.
//!
//! The rest of the text follows from the stamp, so that a recipient can tell whether a single character was changed. It
//! works in every dialect, with no acknowledgement and no id of the server's to lean on.

use std::fmt::Write;

/// What every text of ours begins with.
const MARK: &str = "~lg";
/// What fills a text up to its size; begun at a place that depends on the number, so that neighbours differ.
const FILL: &str = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789";

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
    /// Appends the text, `bytes` long (or [`MIN_BODY_BYTES`], where that is more), to `out`. ASCII without anything that JSON escapes.
    pub fn write(&self, bytes: usize, out: &mut String) {
        let start = out.len();
        let Stamp { run, stream, number, due } = self;
        write!(out, "{MARK} {run:08x} {stream} {number} {due} ").expect("writing to memory cannot fail");
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
        let mut fields = rest.strip_prefix(' ')?.splitn(5, ' ');
        let run = u32::from_str_radix(fields.next()?, 16).ok()?;
        let stream = fields.next()?.parse().ok()?;
        let number = fields.next()?.parse().ok()?;
        let due = fields.next()?.parse().ok()?;
        Some((Stamp { run, stream, number, due }, fields.next()?))
    }
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
}
