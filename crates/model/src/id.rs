//! 256-bit names.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// A SHA-256 value as a name; written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(pub [u8; 32]);

impl Id {
    /// The first eight digits, as lists show them.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }

    /// Says whether the written id starts with `prefix` (lower-case digits).
    pub fn starts_with(&self, prefix: &str) -> bool {
        self.to_string().starts_with(prefix)
    }

    /// Writes the 64 digits as bytes, without an allocation.
    pub fn to_hex(self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        hex
    }

    /// Reads exactly 64 hexadecimal digits.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        if hex.len() != 64 {
            return None;
        }
        let mut id = [0; 32];
        let mut seen = 0;
        for (byte, pair) in id.iter_mut().zip(hex.chunks_exact(2)) {
            let (high, low) = (
                DIGIT_VALUES[usize::from(pair[0])],
                DIGIT_VALUES[usize::from(pair[1])],
            );
            seen |= high | low;
            *byte = high << 4 | low;
        }
        if seen > 15 {
            return None;
        }
        Some(Self(id))
    }
}

/// Values of hexadecimal digits; 255 for all else. Indexes hold millions of ids.
static DIGIT_VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_hex()
            .iter()
            .try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Id {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::from_hex(text.as_bytes())
            .ok_or_else(|| ParseError::new("id", text, "an id is 64 digits 0-9 a-f"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_64_lower_case_digits_are_an_id() {
        let id = Id(std::array::from_fn(|at| (at * 37) as u8));
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        for at in 0..64 {
            for wrong in ["A", "g", "/", ":", "`", "\0", " "] {
                let mut broken = text.clone();
                broken.replace_range(at..=at, wrong);
                assert!(broken.parse::<Id>().is_err(), "{broken}");
            }
        }
        assert!(text[1..].parse::<Id>().is_err() && format!("{text}0").parse::<Id>().is_err());
    }
}
