//! The checksum of the checked dialect: what libstdc++'s `std::hash<std::string>` computes on 64-bit machines.
//!
//! That is MurmurHash64A with a fixed seed, of which the dialect keeps the low 32 bits. It finds damage, not malice.

const SEED: u64 = 0xc70f_6907;
const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;

/// The low 32 bits of the hash of `payload`.
pub fn checksum(payload: &[u8]) -> u32 {
    hash(payload) as u32
}

fn hash(payload: &[u8]) -> u64 {
    let mut hash = SEED ^ (payload.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = payload.as_chunks::<8>();
    for word in words {
        let mixed = shift_mix(u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
        hash = (hash ^ mixed).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
    }
    shift_mix(shift_mix(hash).wrapping_mul(MULTIPLIER))
}

fn shift_mix(value: u64) -> u64 {
    value ^ (value >> 47)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_libstdcxx() {
        for (payload, expected) in
            [("{\"msgType\":4}", 0xec24_72a9), ("hello, 世界", 0x51e1_6f33), ("", 0x1e46_2a6e_u32)]
        {
            assert_eq!(checksum(payload.as_bytes()), expected, "{payload}");
        }
    }
}
