//! The framing of the checked dialect: `FE FF`, a 4-byte big-endian length, the object, and a 4-byte big-endian
//! checksum of it.

use chat_protocol::murmur::checksum;
use std::ops::Range;

const MARKER: [u8; 2] = [0xFE, 0xFF];
const HEADER_BYTES: usize = MARKER.len() + 4;
const CHECKSUM_BYTES: usize = 4;

/// Finds the frame at the front of `bytes`; `None` if it is not complete yet.
pub(super) fn split(bytes: &[u8], max_bytes: usize) -> Result<Option<(Range<usize>, usize)>, String> {
    if bytes.iter().zip(MARKER).any(|(byte, expected)| *byte != expected) {
        return Err(format!("no frame marker, but {:02x?}", &bytes[..bytes.len().min(MARKER.len())]));
    }
    let Some(&[_, _, length @ ..]) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes(length) as usize;
    if length > max_bytes {
        return Err(format!("a frame of {length} bytes"));
    }
    let payload = HEADER_BYTES..HEADER_BYTES + length;
    let Some(sum) = bytes.get(payload.end..).and_then(|rest| rest.first_chunk::<CHECKSUM_BYTES>()) else {
        return Ok(None);
    };
    if u32::from_be_bytes(*sum) != checksum(&bytes[payload.clone()]) {
        return Err("wrong checksum".into());
    }
    let end = payload.end + CHECKSUM_BYTES;
    Ok(Some((payload, end)))
}

/// Writes a frame around what `payload` writes.
pub(super) fn enclose(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&[0; 4]);
    payload(out);
    let begin = start + HEADER_BYTES;
    let length = (out.len() - begin) as u32;
    out[start + MARKER.len()..begin].copy_from_slice(&length.to_be_bytes());
    let sum = checksum(&out[begin..]);
    out.extend_from_slice(&sum.to_be_bytes());
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
        assert_eq!(split(&out, 100), Ok(Some((6..19, 23))));
        assert_eq!(split(&out[..22], 100), Ok(None));
        assert!(split(&out, 12).is_err());
        out[8] ^= 1;
        assert!(split(&out, 100).is_err());
        assert!(split(b"\xFE\x00", 100).is_err());
    }
}
