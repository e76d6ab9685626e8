//! The names of everything in a repository: SHA-256 values that cannot be mixed up.

use std::fmt;
use std::str::FromStr;

use lifeboat_model::{Id, ParseError};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(Id);

        impl $name {
            /// The bare id.
            pub fn id(&self) -> Id {
                self.0
            }

            /// The first eight digits, as lists show them.
            pub fn short(&self) -> String {
                self.0.short()
            }
        }

        impl From<Id> for $name {
            fn from(id: Id) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Id {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                text.parse().map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let hex = self.0.to_hex();
                serializer.serialize_str(std::str::from_utf8(&hex).unwrap_or_default())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(HexVisitor).map(Self)
            }
        }
    };
}

id! {
    /// Names a blob: the SHA-256 of its plaintext.
    BlobId
}
id! {
    /// Names a pack file.
    PackId
}
id! {
    /// Names an index file.
    IndexId
}
id! {
    /// Names a snapshot file.
    SnapshotId
}
id! {
    /// Names a key file.
    KeyId
}
id! {
    /// Names a lock file.
    LockId
}

/// Plaintext that is best named in one call of [`BlobId::of_all`]: some sixty chunks of the usual
/// size.
pub const NAMED_BYTES: usize = 8 << 20;

impl BlobId {
    /// The name of these bytes.
    pub fn of(plaintext: &[u8]) -> Self {
        Self(Id(lifeboat_sha256::digest(plaintext)))
    }

    /// The names of many blobs, in their order; twice as fast where there are 32 or more.
    pub fn of_all(plaintexts: &[&[u8]]) -> Vec<Self> {
        let digests = lifeboat_sha256::digest_all(plaintexts);
        digests.into_iter().map(|digest| Self(Id(digest))).collect()
    }
}

struct HexVisitor;

impl serde::de::Visitor<'_> for HexVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 hexadecimal digits")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
        let wrong = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
        Id::from_hex(text.as_bytes()).ok_or_else(wrong)
    }
}
