//! Index files: which pack holds which blobs.
//!
//! `packs_to_delete` is rustic's own way to write down packs that a prune has marked.
//!
//! Source: restic's design document, "Indexing"; restic-format 5.4; decision 0003.

use std::num::NonZeroU32;

use jiff::Timestamp;

use crate::json::{Read, Reader, write_number};
use crate::{BlobKind, Error, GoTime, PackEntry, PackId, Result};

/// Most blobs in one index file that are accepted; restic and rustic write 50,000.
const BLOBS_MAX: usize = 1 << 20;

/// Bytes of JSON per entry, for reservation.
const ENTRY_BYTES: usize = 170;

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

impl IndexFile {
    /// Writes the JSON.
    pub fn encode(&self) -> Vec<u8> {
        let kept = self.packs.iter().map(|pack| pack.blobs.len() + 1);
        let marked = self.packs_to_delete.iter().map(|pack| pack.blobs.len() + 1);
        let count: usize = kept.chain(marked).sum();
        let mut out = Vec::with_capacity(count * ENTRY_BYTES);
        out.extend_from_slice(b"{\"packs\":[");
        for (number, pack) in self.packs.iter().enumerate() {
            let pack = PackRef {
                id: pack.id,
                blobs: &pack.blobs,
                time: pack.time,
                size: pack.size,
            };
            pack.write(&mut out, number);
        }
        for (number, pack) in self.packs_to_delete.iter().enumerate() {
            if number == 0 {
                out.extend_from_slice(b"],\"packs_to_delete\":[");
            }
            let pack = PackRef {
                id: pack.id,
                blobs: &pack.blobs,
                time: Some(pack.time),
                size: pack.size,
            };
            pack.write(&mut out, number);
        }
        out.extend_from_slice(b"]}\n");
        out
    }

    /// Reads the JSON; keys of others are passed over.
    ///
    /// Errors: `Corrupt` when it is not an index or an entry cannot be true.
    ///
    /// Cost: one pass, one vector per pack, 48 bytes a blob.
    pub fn decode(json: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(json);
        let file = Self::read(&mut reader).and_then(|file| reader.end().map(|()| file));
        file.map_err(|malformed| Error::malformed("an index file", malformed))
    }

    fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let mut file = Self::default();
        let mut left = BLOBS_MAX;
        if reader.peek() != Some(b'{') {
            return Err(reader.malformed("an object"));
        }
        reader.object(|reader, key| {
            match key {
                b"packs" => read_packs(reader, &mut left, |pack| file.packs.push(pack))?,
                b"packs_to_delete" => read_packs(reader, &mut left, |pack| {
                    file.packs_to_delete.push(marked_pack(pack));
                })?,
                _ => reader.skip().map(|_| ())?,
            }
            Ok(())
        })?;
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

/// What both lists of packs have in common.
struct PackRef<'a> {
    id: PackId,
    blobs: &'a [PackEntry],
    time: Option<Timestamp>,
    size: Option<u32>,
}

impl PackRef<'_> {
    fn write(&self, out: &mut Vec<u8>, number: usize) {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"id\":\"");
        out.extend_from_slice(&self.id.id().to_hex());
        out.extend_from_slice(b"\",\"blobs\":[");
        for (number, entry) in self.blobs.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            write_entry(out, entry);
        }
        out.push(b']');
        if let Some(time) = self.time {
            out.extend_from_slice(b",\"time\":\"");
            GoTime::from(time).write(out);
            out.push(b'"');
        }
        if let Some(size) = self.size {
            out.extend_from_slice(b",\"size\":");
            write_number(out, u64::from(size));
        }
        out.push(b'}');
    }
}

fn write_entry(out: &mut Vec<u8>, entry: &PackEntry) {
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(&entry.id.id().to_hex());
    out.extend_from_slice(match entry.kind {
        BlobKind::Data => b"\",\"type\":\"data\",\"offset\":",
        BlobKind::Tree => b"\",\"type\":\"tree\",\"offset\":",
    });
    write_number(out, u64::from(entry.offset));
    out.extend_from_slice(b",\"length\":");
    write_number(out, u64::from(entry.length));
    if let Some(length) = entry.uncompressed_length {
        out.extend_from_slice(b",\"uncompressed_length\":");
        write_number(out, u64::from(length.get()));
    }
    out.push(b'}');
}

fn read_packs(
    reader: &mut Reader<'_>,
    left: &mut usize,
    mut keep: impl FnMut(IndexPack),
) -> Read<()> {
    reader.array(|reader| {
        let (mut id, mut time, mut size) = (None, None, None);
        let mut blobs = Vec::new();
        reader.object(|reader, key| {
            match key {
                b"id" => id = Some(PackId::from(reader.id()?)),
                b"blobs" => reader.array(|reader| {
                    *left = left
                        .checked_sub(1)
                        .ok_or_else(|| reader.malformed("at most one million blobs"))?;
                    blobs.push(read_entry(reader)?);
                    Ok(())
                })?,
                b"time" if !reader.null() => time = Some(read_time(reader)?.timestamp()),
                b"size" if !reader.null() => size = Some(reader.number32()?),
                b"time" | b"size" => {}
                _ => reader.skip().map(|_| ())?,
            }
            Ok(())
        })?;
        let id = id.ok_or_else(|| reader.malformed("a pack with an id up to here"))?;
        keep(IndexPack {
            id,
            blobs,
            time,
            size,
        });
        Ok(())
    })
}

fn read_time(reader: &mut Reader<'_>) -> Read<GoTime> {
    let text = reader.string()?;
    GoTime::parse(&text).ok_or_else(|| reader.malformed("a time up to here"))
}

/// Reads an entry; one as every known program writes it is read without looking for its keys.
///
/// Cost: some 100 ns; six times that for any other layout.
fn read_entry(reader: &mut Reader<'_>) -> Read<PackEntry> {
    let mut ahead = *reader;
    if let Some(entry) = read_usual_entry(&mut ahead) {
        *reader = ahead;
        return Ok(entry);
    }
    read_any_entry(reader)
}

/// Reads an entry with keys in the usual order and no white space; nothing for all others, sound
/// or not.
fn read_usual_entry(reader: &mut Reader<'_>) -> Option<PackEntry> {
    let find = |reader: &mut Reader<'_>, text: &[u8]| reader.exactly(text).then_some(());
    find(reader, b"{\"id\":")?;
    let id = reader.id().ok()?.into();
    let kind = if reader.exactly(b",\"type\":\"data\"") {
        BlobKind::Data
    } else {
        find(reader, b",\"type\":\"tree\"")?;
        BlobKind::Tree
    };
    find(reader, b",\"offset\":")?;
    let offset = reader.number32().ok()?;
    find(reader, b",\"length\":")?;
    let length = reader.number32().ok()?;
    let mut uncompressed_length = None;
    if reader.exactly(b",\"uncompressed_length\":") {
        uncompressed_length = NonZeroU32::new(reader.number32().ok()?);
    }
    find(reader, b"}")?;
    let entry = PackEntry {
        kind,
        id,
        offset,
        length,
        uncompressed_length,
    };
    is_sound(&entry).then_some(entry)
}

fn is_sound(entry: &PackEntry) -> bool {
    entry.has_sound_lengths() && u32::try_from(entry.end()).is_ok()
}

fn read_any_entry(reader: &mut Reader<'_>) -> Read<PackEntry> {
    let (mut id, mut kind, mut offset, mut length) = (None, None, None, None);
    let mut uncompressed_length = None;
    reader.object(|reader, key| {
        match key {
            b"id" => id = Some(reader.id()?.into()),
            b"type" => kind = Some(read_kind(reader)?),
            b"offset" => offset = Some(reader.number32()?),
            b"length" => length = Some(reader.number32()?),
            b"uncompressed_length" if reader.null() => {}
            b"uncompressed_length" => uncompressed_length = NonZeroU32::new(reader.number32()?),
            _ => reader.skip().map(|_| ())?,
        }
        Ok(())
    })?;
    let entry = || {
        let (id, kind, offset, length) = (id?, kind?, offset?, length?);
        let entry = PackEntry {
            kind,
            id,
            offset,
            length,
            uncompressed_length,
        };
        is_sound(&entry).then_some(entry)
    };
    entry().ok_or_else(|| {
        reader.malformed("an entry with id, type, offset and lengths that can be up to here")
    })
}

fn read_kind(reader: &mut Reader<'_>) -> Read<BlobKind> {
    match reader.string()?.as_ref() {
        b"data" => Ok(BlobKind::Data),
        b"tree" => Ok(BlobKind::Tree),
        _ => Err(reader.malformed("\"data\" or \"tree\" up to here")),
    }
}
