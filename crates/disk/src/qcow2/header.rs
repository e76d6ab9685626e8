//! The header and its extensions.

use crate::error::shown;

use super::fault::{Checked, Fault, require};
use super::field::{array, u32_at, u64_at};
use super::geometry::{Geometry, L1_BYTES_MAX};

const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Bytes of the header that are read before the cluster size is known.
pub(crate) const PROLOGUE_LENGTH: usize = 24;
const HEADER_LENGTH_V2: usize = 72;
const HEADER_LENGTH_V3_MIN: usize = 104;
const NAME_LENGTH_MAX: usize = 1023;

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
const KNOWN: u64 = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION_TYPE | EXTENDED_L2;

const AUTOCLEAR_BITMAPS: u64 = 1;

const EXTENSION_END: u32 = 0;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const EXTENSION_BITMAPS: u32 = 0x2385_2875;
const EXTENSION_ENCRYPTION: u32 = 0x0537_be77;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;

/// How compressed clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Zlib,
    Zstd,
}

/// Where the bitmap directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BitmapsExtension {
    pub(crate) count: u32,
    pub(crate) directory_size: u64,
    pub(crate) directory_offset: u64,
    /// False if software that knows no bitmaps has written to the image since.
    pub(crate) is_current: bool,
}

/// What the header says, checked as far as the header alone allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// 2 or 3.
    pub(crate) version: u32,
    pub(crate) geometry: Geometry,
    pub(crate) size: u64,
    pub(crate) l1_offset: u64,
    /// At least what `size` needs.
    pub(crate) l1_entries: u32,
    pub(crate) snapshots_offset: u64,
    pub(crate) snapshot_count: u32,
    pub(crate) has_external_data: bool,
    pub(crate) compression: Compression,
    pub(crate) backing_name: Option<Vec<u8>>,
    pub(crate) backing_format: Option<Vec<u8>>,
    pub(crate) data_file_name: Option<Vec<u8>>,
    pub(crate) bitmaps: Option<BitmapsExtension>,
}

/// The cluster size that the first bytes state, in bits.
pub(crate) fn cluster_bits(prologue: &[u8]) -> Checked<u32> {
    if array(prologue, 0) != Some(MAGIC) {
        return Err(Fault::corrupt(
            "it does not begin with the qcow2 magic; is it a raw disk?",
        ));
    }
    match u32_at(prologue, 4) {
        Some(2 | 3) => {}
        version => {
            let version = version.unwrap_or_default();
            return Err(Fault::unsupported(format!(
                "qcow version {version} is not read"
            )));
        }
    }
    match u32_at(prologue, 20) {
        Some(bits @ 9..=21) => Ok(bits),
        bits => Err(Fault::corrupt(format!(
            "the cluster size is stated as 2^{}; 2^9 to 2^21 exist",
            bits.unwrap_or_default()
        ))),
    }
}

impl Header {
    /// Reads the image's first cluster; a file shorter than that is not padded.
    pub(crate) fn decode(first: &[u8]) -> Checked<Self> {
        let cluster_bits = cluster_bits(first)?;
        let short = || Fault::corrupt("the file ends inside the header");
        let number = |at| u32_at(first, at).ok_or_else(short);
        let offset = |at| u64_at(first, at).ok_or_else(short);
        let version = number(4)?;
        let features = Features::decode(first, version)?;
        refuse_encrypted(number(32)?)?;
        let geometry = Geometry {
            cluster_bits,
            extended: features.has(EXTENDED_L2),
        };
        require(
            !geometry.extended || cluster_bits >= 14,
            "subclusters would be too small",
        )?;
        let backing_offset = offset(8)?;
        let mut header = Self {
            version,
            geometry,
            size: offset(24)?,
            l1_offset: offset(40)?,
            l1_entries: number(36)?,
            snapshots_offset: offset(64)?,
            snapshot_count: number(60)?,
            has_external_data: features.has(EXTERNAL_DATA),
            compression: features.compression,
            backing_name: backing_name(first, backing_offset, number(16)?, geometry)?,
            backing_format: None,
            data_file_name: None,
            bitmaps: None,
        };
        header.check_table()?;
        let end = if backing_offset == 0 {
            geometry.cluster_size()
        } else {
            backing_offset
        };
        header.decode_extensions(first, (features.header_length, end), features.autoclear)?;
        Ok(header)
    }

    fn check_table(&self) -> Checked<()> {
        require(
            self.size <= i64::MAX.cast_unsigned(),
            "the disk size exceeds 2^63",
        )?;
        check_l1(self.geometry, self.size, self.l1_offset, self.l1_entries)
    }

    fn decode_extensions(
        &mut self,
        first: &[u8],
        (start, end): (usize, u64),
        autoclear: u64,
    ) -> Checked<()> {
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(first.len());
        let mut at = start;
        while let Some(head) = first.get(at..end).filter(|rest| rest.len() >= 8) {
            let (Some(kind), Some(length)) = (u32_at(head, 0), u32_at(head, 4)) else {
                break;
            };
            if kind == EXTENSION_END {
                break;
            }
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let content = head
                .get(8..)
                .and_then(|rest| rest.get(..length))
                .ok_or_else(|| {
                    Fault::corrupt(format!(
                        "header extension {kind:#x} ends outside the header"
                    ))
                })?;
            self.take_extension(kind, content, autoclear)?;
            at += 8 + length.next_multiple_of(8);
        }
        Ok(())
    }

    fn take_extension(&mut self, kind: u32, content: &[u8], autoclear: u64) -> Checked<()> {
        match kind {
            EXTENSION_BACKING_FORMAT => {
                require(content.len() < 16, "the backing format's name is too long")?;
                self.backing_format = Some(content.to_vec());
            }
            EXTENSION_DATA_FILE => {
                require(
                    content.len() <= NAME_LENGTH_MAX,
                    "the data file's name is too long",
                )?;
                self.data_file_name = Some(content.to_vec());
            }
            EXTENSION_BITMAPS => self.bitmaps = Some(self.bitmaps_extension(content, autoclear)?),
            EXTENSION_ENCRYPTION => refuse_encrypted(2)?,
            _ => {}
        }
        Ok(())
    }

    fn bitmaps_extension(&self, content: &[u8], autoclear: u64) -> Checked<BitmapsExtension> {
        let seen = "the bitmaps extension is malformed";
        let short = || Fault::corrupt(seen);
        let extension = BitmapsExtension {
            count: u32_at(content, 0).ok_or_else(short)?,
            directory_size: u64_at(content, 8).ok_or_else(short)?,
            directory_offset: u64_at(content, 16).ok_or_else(short)?,
            is_current: autoclear & AUTOCLEAR_BITMAPS != 0,
        };
        require(content.len() == 24 && self.version >= 3, seen)?;
        require(self.geometry.is_aligned(extension.directory_offset), seen)?;
        Ok(extension)
    }
}

/// Checks the place of an L1 table for a disk of `size` bytes.
pub(crate) fn check_l1(geometry: Geometry, size: u64, offset: u64, entries: u32) -> Checked<()> {
    require(
        u64::from(entries) <= L1_BYTES_MAX / 8,
        "the L1 table exceeds 32 MiB",
    )?;
    require(
        geometry.is_aligned(offset),
        "the L1 table is not aligned to clusters",
    )?;
    require(
        geometry.l1_entries(size) <= u64::from(entries),
        "the L1 table is too small for the disk size",
    )
}

struct Features {
    incompatible: u64,
    autoclear: u64,
    compression: Compression,
    header_length: usize,
}

impl Features {
    fn has(&self, bit: u64) -> bool {
        self.incompatible & bit != 0
    }

    fn decode(first: &[u8], version: u32) -> Checked<Self> {
        if version == 2 {
            return Ok(Self {
                incompatible: 0,
                autoclear: 0,
                compression: Compression::Zlib,
                header_length: HEADER_LENGTH_V2,
            });
        }
        let short = || Fault::corrupt("the file ends inside the header");
        let length = u32_at(first, 100).ok_or_else(short)?;
        let header_length = usize::try_from(length).unwrap_or(usize::MAX);
        let fits = (HEADER_LENGTH_V3_MIN..=first.len()).contains(&header_length);
        require(fits, "the header states an impossible length")?;
        require(
            u32_at(first, 96).is_some_and(|order| order <= 6),
            "refcounts exceed 64 bits",
        )?;
        let incompatible = u64_at(first, 72).ok_or_else(short)?;
        refuse_features(incompatible)?;
        Ok(Self {
            incompatible,
            autoclear: u64_at(first, 88).ok_or_else(short)?,
            compression: compression(first, header_length, incompatible)?,
            header_length,
        })
    }
}

fn refuse_features(incompatible: u64) -> Checked<()> {
    if incompatible & !KNOWN != 0 {
        let bits = incompatible & !KNOWN;
        return Err(Fault::unsupported(format!(
            "it uses features that are not known here (incompatible bits {bits:#x})"
        )));
    }
    require(
        incompatible & CORRUPT == 0,
        "QEMU has marked it as corrupt; repair a copy with qemu-img check -r all",
    )
}

fn compression(first: &[u8], header_length: usize, incompatible: u64) -> Checked<Compression> {
    let stated = if header_length > 104 {
        first.get(104).copied().unwrap_or(0)
    } else {
        0
    };
    match (incompatible & COMPRESSION_TYPE != 0, stated) {
        (false, 0) => Ok(Compression::Zlib),
        (true, 1) => Ok(Compression::Zstd),
        (true, 2..) => Err(Fault::unsupported(format!(
            "compression type {stated} is not read"
        ))),
        (true, 0) | (false, _) => Err(Fault::corrupt(
            "the compression type contradicts its feature bit",
        )),
    }
}

fn refuse_encrypted(method: u32) -> Checked<()> {
    match method {
        0 => Ok(()),
        1 => Err(Fault::unsupported(
            "it is encrypted (AES), which is not read here",
        )),
        2 => Err(Fault::unsupported(
            "it is encrypted (LUKS); read it through qemu-nbd with its secret",
        )),
        _ => Err(Fault::unsupported(format!(
            "it is encrypted by unknown method {method}"
        ))),
    }
}

fn backing_name(
    first: &[u8],
    offset: u64,
    length: u32,
    geometry: Geometry,
) -> Checked<Option<Vec<u8>>> {
    if offset == 0 || length == 0 {
        require(
            offset <= geometry.cluster_size(),
            "the backing file's name is misplaced",
        )?;
        return Ok(None);
    }
    let misplaced = || Fault::corrupt("the backing file's name is misplaced");
    let start = usize::try_from(offset).map_err(|_| misplaced())?;
    let length = usize::try_from(length).map_err(|_| misplaced())?;
    require(
        length <= NAME_LENGTH_MAX,
        "the backing file's name exceeds 1023 bytes",
    )?;
    let end = start.checked_add(length).ok_or_else(misplaced)?;
    let name = first.get(start..end).ok_or_else(misplaced)?;
    if name.contains(&0) {
        return Err(Fault::corrupt(format!(
            "the backing file's name is \"{}\"",
            shown(name)
        )));
    }
    Ok(Some(name.to_vec()))
}
