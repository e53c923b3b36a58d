//! The dialects a client may speak, told apart by the first byte it sends.

/// How a client's messages are framed and spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::Display, strum::EnumCount, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Dialect {
    /// Length-prefixed JSON with acknowledgements: ours.
    Framed,
    /// Classic: frames with a marker, a length and a checksum.
    Checked,
    /// Classic: JSON objects one after the other, without frames.
    Bare,
}

impl Dialect {
    /// How many there are.
    pub const COUNT: usize = <Dialect as strum::EnumCount>::COUNT;

    /// The dialect of a client whose first byte is this; `None`: of none, close at once.
    pub fn of_first_byte(byte: u8) -> Option<Dialect> {
        match byte {
            0x00 => Some(Dialect::Framed),
            0xFE => Some(Dialect::Checked),
            b'{' => Some(Dialect::Bare),
            byte if byte.is_ascii_whitespace() => Some(Dialect::Bare),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_byte_tells_the_dialect() {
        for byte in 0..=u8::MAX {
            let expected = match byte {
                0x00 => Some(Dialect::Framed),
                0xFE => Some(Dialect::Checked),
                b'{' | b' ' | b'\t' | b'\r' | b'\n' | 0x0C => Some(Dialect::Bare),
                _ => None,
            };
            assert_eq!(Dialect::of_first_byte(byte), expected, "{byte:#04x}");
        }
    }
}
