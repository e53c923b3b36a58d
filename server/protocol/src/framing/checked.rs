//! The framing of the checked dialect: `FE FF`, a 4-byte big-endian signed length, the payload, and a 4-byte big-endian
//! checksum of it.

use super::{Cut, Error};
use crate::murmur::checksum;
use bytes::BufMut;

const MARKER: [u8; 2] = [0xFE, 0xFF];
const HEADER_BYTES: usize = MARKER.len() + 4;
const CHECKSUM_BYTES: usize = 4;

/// Finds the frame at the front of `input`; `Ok(None)` if it is not complete yet.
pub fn cut(input: &[u8], max_frame_bytes: usize) -> Result<Option<Cut>, Error> {
    if input.iter().zip(MARKER).any(|(&byte, expected)| byte != expected) {
        return Err(Error::NoMarker);
    }
    let Some(&[_, _, length @ ..]) = input.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = i32::from_be_bytes(length);
    let bytes = usize::try_from(length).map_err(|_| Error::NegativeLength(length))?;
    if bytes > max_frame_bytes {
        return Err(Error::TooLong { bytes, limit: max_frame_bytes });
    }
    let payload = HEADER_BYTES..HEADER_BYTES + bytes;
    let Some(sum) = input.get(payload.end..).and_then(|rest| rest.first_chunk::<CHECKSUM_BYTES>()) else {
        return Ok(None);
    };
    if u32::from_be_bytes(*sum) != checksum(&input[payload.clone()]) {
        return Err(Error::Checksum);
    }
    Ok(Some(Cut { end: payload.end + CHECKSUM_BYTES, payload }))
}

/// Appends a frame around what `payload` writes.
pub fn enclose<B: BufMut + AsMut<[u8]>>(out: &mut B, payload: impl FnOnce(&mut B)) {
    let start = out.as_mut().len();
    out.put_slice(&MARKER);
    out.put_u32(0);
    payload(out);
    let (header, payload) = out.as_mut()[start..].split_at_mut(HEADER_BYTES);
    header[MARKER.len()..].copy_from_slice(&(payload.len() as u32).to_be_bytes());
    let sum = checksum(payload);
    out.put_u32(sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_is_as_the_contract_shows_it() {
        let mut out = Vec::new();
        enclose(&mut out, |out| out.extend_from_slice(b"{\"msgType\":4}"));
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "feff0000000d7b226d736754797065223a347dec2472a9");
        assert_eq!(cut(&out, 100), Ok(Some(Cut { payload: 6..19, end: 23 })));
        assert_eq!(cut(&out[..22], 100), Ok(None));
        assert_eq!(cut(&out, 12), Err(Error::TooLong { bytes: 13, limit: 12 }));
        out[8] ^= 1;
        assert_eq!(cut(&out, 100), Err(Error::Checksum));
        assert_eq!(cut(b"\xFE\x00", 100), Err(Error::NoMarker));
        assert_eq!(cut(b"\xFE\xFF\xFF\xFF\xFF\xFF", 100), Err(Error::NegativeLength(-1)));
    }
}
