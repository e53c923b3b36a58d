//! Framing by a 4-byte length: big-endian in our dialect; some servers of the classic family have it the other way.

use super::{Cut, Error};
use bytes::BufMut;

pub const HEADER_BYTES: usize = 4;

/// The order of a length's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Big,
    Little,
}

/// Finds the frame at the front of `input`; `Ok(None)` if it is not complete yet.
#[inline]
pub fn cut(input: &[u8], order: Order, max_frame_bytes: usize) -> Result<Option<Cut>, Error> {
    let Some(header) = input.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = match order {
        Order::Big => u32::from_be_bytes(*header),
        Order::Little => u32::from_le_bytes(*header),
    } as usize;
    if length == 0 {
        return Err(Error::Empty);
    }
    if length > max_frame_bytes {
        return Err(Error::TooLong { bytes: length, limit: max_frame_bytes });
    }
    let end = HEADER_BYTES + length;
    Ok((input.len() >= end).then_some(Cut { payload: HEADER_BYTES..end, end }))
}

/// Appends a frame around what `payload` writes.
#[inline]
pub fn enclose<B: BufMut + AsMut<[u8]>>(out: &mut B, order: Order, payload: impl FnOnce(&mut B)) {
    let start = out.as_mut().len();
    out.put_u32(0);
    payload(out);
    let (header, payload) = out.as_mut()[start..].split_at_mut(HEADER_BYTES);
    let length = payload.len() as u32;
    header.copy_from_slice(&match order {
        Order::Big => length.to_be_bytes(),
        Order::Little => length.to_le_bytes(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_order_reads_back_and_the_other_does_not() {
        for (order, other) in [(Order::Big, Order::Little), (Order::Little, Order::Big)] {
            let mut out = Vec::new();
            enclose(&mut out, order, |out| out.extend_from_slice(b"{}"));
            assert_eq!(cut(&out, order, 100), Ok(Some(Cut { payload: 4..6, end: 6 })));
            assert_eq!(cut(&out[..5], order, 100), Ok(None));
            assert!(cut(&out, other, 100).is_err());
        }
    }

    #[test]
    fn wrong_length_is_seen_from_the_header_alone() {
        let check = |bytes: &[u8], expected: Result<Option<Cut>, Error>| {
            assert_eq!(cut(bytes, Order::Big, 0x10_0000), expected, "{bytes:?}");
        };
        check(b"", Ok(None));
        check(b"\0\0\0", Ok(None));
        check(b"\0\0\0\x02{", Ok(None));
        check(b"\0\0\0\x02{}\0", Ok(Some(Cut { payload: 4..6, end: 6 })));
        check(b"\0\x10\0\0", Ok(None));
        check(b"\0\0\0\0", Err(Error::Empty));
        check(b"\0\x10\0\x01", Err(Error::TooLong { bytes: 0x10_0001, limit: 0x10_0000 }));
        assert!(cut(b"HTTP/1.1 400", Order::Big, 0x10_0000).is_err());
    }
}
