//! The framing by a 4-byte length of either byte order, as some servers of the family have it.

use std::ops::Range;

pub(super) const HEADER_BYTES: usize = 4;

/// Finds the frame at the front of `bytes`; `None` if it is not complete yet.
pub(super) fn split(bytes: &[u8], big: bool, max_bytes: usize) -> Result<Option<(Range<usize>, usize)>, String> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = if big { u32::from_be_bytes(*header) } else { u32::from_le_bytes(*header) } as usize;
    if length == 0 || length > max_bytes {
        return Err(format!("a frame of {length} bytes, begun with {header:02x?}"));
    }
    let end = HEADER_BYTES + length;
    Ok((rest.len() >= length).then_some((HEADER_BYTES..end, end)))
}

/// Writes a frame around what `payload` writes.
pub(super) fn enclose(out: &mut Vec<u8>, big: bool, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    payload(out);
    let length = (out.len() - start - HEADER_BYTES) as u32;
    let header = if big { length.to_be_bytes() } else { length.to_le_bytes() };
    out[start..start + HEADER_BYTES].copy_from_slice(&header);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_byte_order_reads_back_and_the_other_does_not() {
        for big in [true, false] {
            let mut out = Vec::new();
            enclose(&mut out, big, |out| out.extend_from_slice(b"{}"));
            assert_eq!(split(&out, big, 100), Ok(Some((4..6, 6))));
            assert_eq!(split(&out[..5], big, 100), Ok(None));
            assert!(split(&out, !big, 100).is_err());
        }
    }
}
