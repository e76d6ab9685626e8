//! Marks from which changes can be asked later.

use std::fmt;
use std::str::FromStr;

use lifeboat_model::{Entropy, ParseError};

/// How every mark of ours begins; whatever begins otherwise belongs to somebody else.
pub const CHECKPOINT_PREFIX: &str = "lifeboat-";

/// The platform's mark from which changes can be asked later.
///
/// `lifeboat-` and 32 hexadecimal digits of chance: no two runs, repositories or programs ever
/// mean different instants by the same name, so a mark that is found is the mark that was made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId(String);

impl CheckpointId {
    /// A new one.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{CHECKPOINT_PREFIX}{digits}"))
    }

    /// As platforms and manifests keep it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CheckpointId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digits = text.strip_prefix(CHECKPOINT_PREFIX).unwrap_or_default();
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() == 32 && digits.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            let rule = "a checkpoint of ours is lifeboat- and 32 hexadecimal digits";
            Err(ParseError::new("checkpoint", text, rule))
        }
    }
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Who makes checkpoints: one for each repository, so that several never take each other's
/// marks for their own. 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl FromStr for Origin {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 16 && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            let rule = "an origin is the first 16 hexadecimal digits of a repository's id";
            Err(ParseError::new("origin", text, rule))
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marks_of_ours_are_checkpoints() {
        let ours = "lifeboat-00112233445566778899aabbccddeeff";
        assert_eq!(ours.parse::<CheckpointId>().unwrap().as_str(), ours);
        for name in [
            "virtnbdbackup.0",
            "lifeboat-",
            "lifeboat-0011",
            "lifeboat-A0112233445566778899aabbccddeeff",
        ] {
            assert!(name.parse::<CheckpointId>().is_err(), "{name}");
        }
    }
}
