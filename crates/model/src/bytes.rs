//! Amounts of bytes as people write and read them.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// An amount of bytes; shown in binary units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteCount(pub u64);

const UNITS: [(&str, u64); 6] = [
    ("EiB", 1 << 60),
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match UNITS.iter().find(|(_, unit)| self.0 >= *unit) {
            Some((name, unit)) => format!("{:.3} {name}", self.0 as f64 / *unit as f64),
            None => format!("{} B", self.0),
        };
        f.pad(&text)
    }
}

impl FromStr for ByteCount {
    type Err = ParseError;

    /// Reads `4096`, `64K`, `64KiB`, `1.5G`, `2TiB`; all units are binary.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || {
            ParseError::new(
                "size",
                text,
                "write a number with K, M, G, T or P, like 64M",
            )
        };
        let split = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = unit
            .trim()
            .trim_end_matches("iB")
            .trim_end_matches('B')
            .to_ascii_uppercase();
        let shift = match unit.as_str() {
            "" => 0,
            "K" => 10,
            "M" => 20,
            "G" => 30,
            "T" => 40,
            "P" => 50,
            _ => return Err(wrong()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(1 << shift).map(Self).ok_or_else(wrong);
        }
        let value = number.parse::<f64>().map_err(|_| wrong())? * (1u64 << shift) as f64;
        if value.is_finite() && value >= 0.0 && value < u64::MAX as f64 {
            Ok(Self(value as u64))
        } else {
            Err(wrong())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64K", 65536),
            ("64KiB", 65536),
            ("1.5G", 3 << 29),
            ("2TB", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)), "{text}");
        }
        for text in ["", "x", "-1", "1X", "99999999999999999999P", "1e5", "."] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_binary_units() {
        assert_eq!(ByteCount(1023).to_string(), "1023 B");
        assert_eq!(ByteCount(3 << 29).to_string(), "1.500 GiB");
    }
}
