//! Index files: which pack holds which blobs.
//!
//! `packs_to_delete` is rustic's own way to write down packs that a prune has marked.
//!
//! Source: restic's design document, "Indexing"; restic-format 5.4; decision 0003.

use std::fmt;
use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::key::to_json;
use crate::{BlobId, BlobKind, Error, GoTime, PackEntry, PackId, Result};

/// Most blobs in one index file that are accepted.
const BLOBS_MAX: usize = 4 << 20;

/// An index file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexFile {
    /// Packs in use.
    pub packs: Vec<IndexPack>,
    /// Packs that a prune has marked for removal.
    pub packs_to_delete: Vec<MarkedPack>,
}

/// A pack and its blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexPack {
    /// Its name.
    pub id: PackId,
    /// Its blobs.
    pub blobs: Vec<PackEntry>,
    /// When it was written, if known.
    pub time: Option<Timestamp>,
    /// Its bytes, if known.
    pub size: Option<u32>,
}

/// A pack that waits for its removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedPack {
    /// Its name.
    pub id: PackId,
    /// When it was marked.
    pub time: Timestamp,
    /// Its blobs.
    pub blobs: Vec<PackEntry>,
    /// Its bytes, if known.
    pub size: Option<u32>,
}

#[derive(Serialize)]
struct FileJson<'a> {
    packs: Vec<PackJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    packs_to_delete: Vec<PackJson<'a>>,
}

#[derive(Serialize)]
struct PackJson<'a> {
    id: PackId,
    blobs: BlobsJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<GoTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
}

struct BlobsJson<'a>(&'a [PackEntry]);

impl Serialize for BlobsJson<'_> {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|entry| BlobJson {
            id: entry.id,
            kind: match entry.kind {
                BlobKind::Data => KindJson::Data,
                BlobKind::Tree => KindJson::Tree,
            },
            offset: entry.offset,
            length: entry.length,
            uncompressed_length: entry.uncompressed_length,
        }))
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindJson {
    Data,
    Tree,
}

#[derive(Serialize, Deserialize)]
struct BlobJson {
    id: BlobId,
    #[serde(rename = "type")]
    kind: KindJson,
    offset: u32,
    length: u32,
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "zero_is_none"
    )]
    uncompressed_length: Option<NonZeroU32>,
}

fn zero_is_none<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> std::result::Result<Option<NonZeroU32>, D::Error> {
    Option::<u32>::deserialize(from).map(|length| length.and_then(NonZeroU32::new))
}

impl IndexFile {
    /// Writes the JSON.
    pub fn encode(&self) -> Vec<u8> {
        let packs = self.packs.iter().map(|pack| PackJson {
            id: pack.id,
            blobs: BlobsJson(&pack.blobs),
            time: pack.time.map(GoTime::from),
            size: pack.size,
        });
        let marked = self.packs_to_delete.iter().map(|pack| PackJson {
            id: pack.id,
            blobs: BlobsJson(&pack.blobs),
            time: Some(pack.time.into()),
            size: pack.size,
        });
        let file = FileJson {
            packs: packs.collect(),
            packs_to_delete: marked.collect(),
        };
        to_json("an index file", &file).unwrap_or_default()
    }

    /// Reads the JSON; keys of others are passed over.
    ///
    /// Cost: one pass, 48 bytes a blob.
    pub fn decode(json: &[u8]) -> Result<Self> {
        let mut from = serde_json::Deserializer::from_slice(json);
        let file = serde::Deserializer::deserialize_map(&mut from, FileVisitor)
            .and_then(|file| from.end().map(|()| file));
        file.map_err(|e| Error::json("an index file", e))
    }
}

struct FileVisitor;

impl<'de> Visitor<'de> for FileVisitor {
    type Value = IndexFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index file")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<IndexFile, A::Error> {
        let mut file = IndexFile::default();
        let mut left = BLOBS_MAX;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match &*key {
                "packs" => file.packs = map.next_value_seed(PacksSeed(&mut left))?,
                "packs_to_delete" => {
                    let marked = map.next_value_seed(PacksSeed(&mut left))?;
                    file.packs_to_delete = marked.into_iter().map(marked_pack).collect();
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(file)
    }
}

/// A mark without a time counts as made long ago.
fn marked_pack(pack: IndexPack) -> MarkedPack {
    let time = pack.time.unwrap_or(Timestamp::UNIX_EPOCH);
    MarkedPack {
        id: pack.id,
        time,
        blobs: pack.blobs,
        size: pack.size,
    }
}

struct PacksSeed<'a>(&'a mut usize);

impl<'de> DeserializeSeed<'de> for PacksSeed<'_> {
    type Value = Vec<IndexPack>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        from: D,
    ) -> std::result::Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PacksSeed<'_> {
    type Value = Vec<IndexPack>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of packs")
    }

    /// Go writes an empty list as `null`.
    fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut list: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut packs = Vec::new();
        while let Some(pack) = list.next_element::<PackIn>()? {
            *self.0 = self
                .0
                .checked_sub(pack.blobs.0.len())
                .ok_or_else(|| serde::de::Error::custom("more than four million blobs"))?;
            packs.push(IndexPack {
                id: pack.id,
                blobs: pack.blobs.0,
                time: pack.time.map(|time| time.timestamp()),
                size: pack.size,
            });
        }
        Ok(packs)
    }
}

#[derive(Deserialize)]
struct PackIn {
    id: PackId,
    blobs: BlobsIn,
    #[serde(default)]
    time: Option<GoTime>,
    #[serde(default)]
    size: Option<u32>,
}

/// Blobs, read straight into pack entries.
struct BlobsIn(Vec<PackEntry>);

impl<'de> Deserialize<'de> for BlobsIn {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Vec<PackEntry>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of blobs")
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(list.size_hint().unwrap_or(256).min(65_536));
                while let Some(blob) = list.next_element::<BlobJson>()? {
                    entries.push(PackEntry {
                        kind: match blob.kind {
                            KindJson::Data => BlobKind::Data,
                            KindJson::Tree => BlobKind::Tree,
                        },
                        id: blob.id,
                        offset: blob.offset,
                        length: blob.length,
                        uncompressed_length: blob.uncompressed_length,
                    });
                }
                Ok(entries)
            }
        }
        from.deserialize_seq(Entries).map(BlobsIn)
    }
}
