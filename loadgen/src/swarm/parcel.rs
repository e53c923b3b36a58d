//! A result on its way through Redis: in pieces, since one value holds 512 MB at most, and a large one holds up all
//! others that use the same Redis.

use serde::{Deserialize, Serialize};

/// Bytes of a piece: few enough to be answered in time, each for itself, at 1 Mbit/s.
pub const PIECE_BYTES: usize = 256 << 10;
/// Pieces of a result: 256 MiB in all. A second of a run takes about a kilobyte, so that is three days. What is larger
/// stays in its file.
pub const MAX_PIECES: usize = 1_024;

/// What was handed in, or why nothing was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parcel {
    Pieces {
        count: usize,
        bytes: usize,
    },
    /// It would take this many bytes.
    TooLarge {
        bytes: usize,
    },
}

impl Parcel {
    /// What handing in a result of this size takes.
    pub fn of(bytes: usize) -> Parcel {
        let count = bytes.div_ceil(PIECE_BYTES);
        if count <= MAX_PIECES { Parcel::Pieces { count, bytes } } else { Parcel::TooLarge { bytes } }
    }

    /// How many pieces there are to fetch; 0 where there are none, or not as many as anybody would have handed in.
    pub fn pieces(&self) -> usize {
        match self {
            Parcel::Pieces { count, bytes } if *self == Parcel::of(*bytes) => *count,
            _ => 0,
        }
    }

    /// Puts the pieces together; `None` while one is missing, or cut off.
    pub fn join(&self, pieces: Vec<Option<Vec<u8>>>) -> Option<Vec<u8>> {
        let whole = pieces.into_iter().collect::<Option<Vec<_>>>()?.concat();
        matches!(self, Parcel::Pieces { bytes, .. } if *bytes == whole.len()).then_some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_comes_out_as_it_was() {
        let result: Vec<u8> = (0..PIECE_BYTES + 3).map(|place| place as u8).collect();
        let parcel = Parcel::of(result.len());
        assert_eq!(parcel.pieces(), 2);
        let pieces = || result.chunks(PIECE_BYTES).map(|piece| Some(piece.to_vec())).collect::<Vec<_>>();
        assert_eq!(parcel.join(pieces()), Some(result.clone()));
        let mut lost = pieces();
        lost[1] = None;
        assert_eq!(parcel.join(lost), None);
        let mut cut_off = pieces();
        cut_off[1] = Some(vec![0]);
        assert_eq!(parcel.join(cut_off), None);
    }

    #[test]
    fn what_is_larger_than_the_limit_is_not_handed_in_and_not_fetched() {
        let most = PIECE_BYTES * MAX_PIECES;
        assert_eq!(Parcel::of(most).pieces(), MAX_PIECES);
        assert_eq!(Parcel::of(most + 1), Parcel::TooLarge { bytes: most + 1 });
        assert_eq!(Parcel::of(most + 1).pieces(), 0);
        assert_eq!(Parcel::Pieces { count: usize::MAX, bytes: usize::MAX }.pieces(), 0);
        assert_eq!(Parcel::Pieces { count: 1, bytes: PIECE_BYTES + 1 }.pieces(), 0, "it would never be whole");
    }
}
